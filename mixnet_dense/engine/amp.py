"""Mixed precision where mmengine's AmpOptimWrapper refuses: on a CPU."""

from contextlib import contextmanager

import torch
from mmengine.optim import OptimWrapper
from torch import nn

from mixnet_dense.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class CpuAmpOptimWrapper(OptimWrapper):
    """Runs the forward pass in bfloat16, which needs no loss scaling.

    CPUs without bfloat16 instructions compute it slowly.
    """

    @contextmanager
    def optim_context(self, model: nn.Module):
        with super().optim_context(model), torch.autocast("cpu", torch.bfloat16):
            yield
