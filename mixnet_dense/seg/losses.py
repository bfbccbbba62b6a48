"""The loss of a segmentation head over the pixels of all processes."""

from collections.abc import Sequence

import torch
from mmengine.dist import all_reduce
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.losses import CrossEntropyLoss
from torch import Tensor, nn

from mixnet_dense.backbones.blocks import upsample


class PixelLossHead(BaseDecodeHead):
    """mmseg's BaseDecodeHead with another `loss_by_feat`, of the same values on one process.

    mmseg divides a cross-entropy with ``avg_non_ignore`` by the labelled pixels of each process and
    counts them on the host, which waits for the device.
    """

    def loss_by_feat(self, seg_logits: Tensor, batch_data_samples: Sequence) -> dict[str, Tensor]:
        """The losses of ``loss_decode`` and the accuracy.

        Args:
            seg_logits: (N, classes, h, w).
            batch_data_samples: with ``gt_sem_seg`` (1, H, W) of each image.

        Returns:
            The losses by name, those of one name added; ``acc_seg`` in percent of the labelled
            pixels. A cross-entropy with ``avg_non_ignore`` is divided by the number of labelled
            pixels, in several processes by their mean number: then their mean gradient is that of
            one process with all images.
        """
        labels = self._stack_batch_gt(batch_data_samples)
        logits = upsample(seg_logits, labels.shape[2:], self.align_corners)
        weight = self.sampler.sample(logits, labels) if self.sampler is not None else None
        labels = labels.squeeze(1)
        labelled = (labels != self.ignore_index).sum().float()
        own, losses = labelled.clone(), {}
        all_reduce(labelled, "mean")
        several = isinstance(self.loss_decode, nn.ModuleList)
        for loss in self.loss_decode if several else [self.loss_decode]:
            divisor = dict(avg_factor=labelled) if _is_of_labelled(loss) else {}
            value = loss(logits, labels, weight=weight, ignore_index=self.ignore_index, **divisor)
            losses[loss.loss_name] = losses.get(loss.loss_name, 0) + value
        tiny = torch.finfo(torch.float32).eps  # as mmseg: 100 % of no pixels
        right = (logits.argmax(1) == labels) & (labels != self.ignore_index)
        losses["acc_seg"] = 100 * (right.sum() + tiny) / (own + tiny)
        return losses


def _is_of_labelled(loss: nn.Module) -> bool:
    """Whether a loss is a softmax cross-entropy averaged over the labelled pixels."""
    return (
        isinstance(loss, CrossEntropyLoss)
        and loss.avg_non_ignore
        and loss.cls_criterion.__name__ == "cross_entropy"
        and loss.class_weight is None
        and loss.reduction == "mean"
    )
