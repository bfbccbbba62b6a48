"""Batch norm over all processes on a CPU, where torch has none; for ``custom_imports``.

mmengine's ``sync_bn`` puts it in the place of each batch norm, as it does with torch's own. Models
that are built after it are in float64.
"""

import torch
import torch.nn.functional as F
from torch.distributed.nn.functional import all_reduce
from torch.nn.modules import batchnorm


class SyncBatchNorm(batchnorm._BatchNorm):
    def forward(self, x):
        if not self.training:
            return F.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        count = torch.distributed.get_world_size() * x.numel() / x.shape[1]
        mean = all_reduce(x.sum((0, 2, 3))) / count
        centred = x - mean[:, None, None]
        variance = all_reduce(centred.square().sum((0, 2, 3))) / count
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
            self.num_batches_tracked.add_(1)
        scale = self.weight * (variance + self.eps).rsqrt()
        return centred * scale[:, None, None] + self.bias[:, None, None]


batchnorm.SyncBatchNorm = SyncBatchNorm
torch.set_default_dtype(torch.float64)
