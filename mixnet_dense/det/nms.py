"""Greedy non-maximum suppression within classes, for a whole batch, that stops early."""

import torch
from torch import Tensor

_CHUNK = 128  # candidates at a time; in most images the first ones have enough survivors


def greedy_nms(
    boxes: Tensor, labels: Tensor, valid: Tensor, iou_threshold: float, limit: int
) -> list[Tensor]:
    """The first ``limit`` survivors of each image.

    Candidates must come by decreasing score. A candidate is dropped if its IoU with an
    earlier survivor of its class is greater than the threshold.

    Args:
        boxes: corners (N, K, 4) of any unit.
        labels: (N, K).
        valid: (N, K), False for candidates to ignore.
        iou_threshold: in [0, 1].
        limit: the most survivors of an image.

    Returns:
        Per image the indices into K of its survivors, (<= limit,).
    """
    kept = valid[:, :0]  # whether each candidate so far survives
    for start in range(0, boxes.shape[1], _CHUNK):
        new = slice(start, start + _CHUNK)
        if not valid[:, start:].any() or (kept.sum(1) >= limit).all():
            break
        clash = _overlap(boxes[:, : new.stop], boxes[:, new], iou_threshold)
        clash &= labels[:, : new.stop, None] == labels[:, None, new]
        alive = valid[:, new] & ~(clash[:, :start] & kept[..., None]).any(1)
        kept = torch.cat([kept, _survivors(clash[:, start:].triu(1), alive)], 1)
    return [row.nonzero()[:limit, 0] for row in kept]


def _survivors(clash: Tensor, alive: Tensor) -> Tensor:
    """Which candidates (N, C) survive, of those ``alive``.

    ``clash`` (N, C, C) says whether a candidate, by row, would drop a later one, by column. The
    answer is right for the first candidate at once, and after each step for one more at least.
    """
    kept, before = alive, None
    while before is None or not torch.equal(kept, before):
        before, kept = kept, alive & ~(clash & kept[..., None]).any(1)
    return kept


def _overlap(boxes: Tensor, others: Tensor, iou_threshold: float) -> Tensor:
    """Whether the IoU of boxes (N, B, 4) and others (N, C, 4) is above the threshold: (N, B, C)."""
    boxes, others = boxes[:, :, None], others[:, None]
    start, end = torch.maximum(boxes, others), torch.minimum(boxes, others)
    width, height = ((end[..., i + 2] - start[..., i]).clamp_(min=0) for i in (0, 1))
    common = width.mul_(height)
    first, second = ((b[..., 2] - b[..., 0]) * (b[..., 3] - b[..., 1]) for b in (boxes, others))
    return common / (first + second - common) > iou_threshold
