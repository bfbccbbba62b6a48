"""Greedy non-maximum suppression within classes, for a whole batch, that stops early."""

import torch
from torch import Tensor


def greedy_nms(
    boxes: Tensor, labels: Tensor, valid: Tensor, iou_threshold: float, limit: int
) -> Tensor:
    """The first ``limit`` survivors of each image.

    Candidates must come by decreasing score. A candidate is dropped if its IoU with an
    earlier survivor of its class is greater than the threshold. The number of steps is that
    of the survivors, not of the candidates.

    Args:
        boxes: corners (N, K, 4) of any unit.
        labels: (N, K).
        valid: (N, K), False for candidates to ignore.
        iou_threshold: in [0, 1].
        limit: the most survivors of an image.

    Returns:
        (N, <= limit) indices into K, -1 after the last survivor.
    """
    x1, y1, x2, y2 = boxes.unbind(-1)  # each (N, K)
    areas = (x2 - x1) * (y2 - y1)
    alive = valid.clone()
    kept = []
    for _ in range(min(limit, alive.shape[1])):
        best = alive.to(torch.uint8).argmax(1, keepdim=True)  # the first one left
        found = alive.gather(1, best)
        if alive.device.type == "cpu" and not found.any():
            break
        kept.append(torch.where(found, best, -1))
        left, top, right, bottom = (side.gather(1, best) for side in (x1, y1, x2, y2))
        width = (torch.minimum(right, x2) - torch.maximum(left, x1)).clamp_(min=0)
        height = (torch.minimum(bottom, y2) - torch.maximum(top, y1)).clamp_(min=0)
        common = width.mul_(height)
        iou = common / (areas.gather(1, best) + areas - common)
        alive &= ~((iou > iou_threshold) & (labels == labels.gather(1, best)))
        alive.scatter_(1, best, False)
    return torch.cat(kept, 1) if kept else alive.new_zeros(len(alive), 0, dtype=torch.long)
