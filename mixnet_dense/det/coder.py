"""Offsets of boxes from anchors: https://arxiv.org/abs/1512.02325 (SSD), equation 2."""

import torch
from mmdet.models.task_modules.coders import DeltaXYWHBBoxCoder
from torch import Tensor

from mixnet_dense.registry import TASK_UTILS


@TASK_UTILS.register_module()
class BoxCoder(DeltaXYWHBBoxCoder):
    """mmdet's DeltaXYWHBBoxCoder; its `encode` copies means and deviations to a GPU, and waits."""

    def encode(self, bboxes: Tensor, gt_bboxes: Tensor) -> Tensor:
        """Offsets (..., 4) of boxes (..., 4) from anchors (..., 4), all of them corners."""
        anchor, box = (_centre_and_size(corners.float()) for corners in (bboxes, gt_bboxes))
        shifts = [(box[i] - anchor[i]) / anchor[i + 2] for i in (0, 1)]
        scales = [torch.log(box[i] / anchor[i]) for i in (2, 3)]
        rows = zip([*shifts, *scales], self.means, self.stds, strict=True)
        return torch.stack([(offset - mean) / std for offset, mean, std in rows], -1)


def _centre_and_size(corners: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    x1, y1, x2, y2 = corners.unbind(-1)
    return (x1 + x2) * 0.5, (y1 + y2) * 0.5, x2 - x1, y2 - y1
