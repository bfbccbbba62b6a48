"""Matching, targets and hard negative mining of SSD for a whole batch at once.

SSD: https://arxiv.org/abs/1512.02325, section 2.2. The rules are those of mmdet's
MaxIoUAssigner with thresholds 0.5 and ``gt_max_assign_all=False``; no loop over images
and no transfer from the device.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

NEGATIVE, IGNORED = -1, -2
_CHUNK = 2**24  # overlaps held at a time; their temporaries stay under 1 GiB


class Boxes(NamedTuple):
    """Boxes of a batch, padded to the longest image.

    ``corners`` (N, G, 4) in pixels, ``labels`` (N, G), ``valid`` (N, G).
    """

    corners: Tensor
    labels: Tensor
    valid: Tensor


def pad_boxes(instances: Sequence, device) -> Boxes:
    """Collect ``bboxes`` (n, 4) and ``labels`` (n,) of each image into `Boxes`."""
    counts = [len(instance.bboxes) for instance in instances]
    longest = max(counts, default=0)
    corners = torch.zeros(len(counts), longest, 4, device=device)
    labels = torch.zeros(len(counts), longest, dtype=torch.long, device=device)
    valid = torch.zeros(len(counts), longest, dtype=torch.bool, device=device)
    for index, (instance, count) in enumerate(zip(instances, counts, strict=True)):
        boxes = instance.bboxes
        corners[index, :count] = getattr(boxes, "tensor", boxes)
        valid[index, :count] = True
        if "labels" in instance:
            labels[index, :count] = instance.labels
    return Boxes(corners, labels, valid)


def overlaps(anchors: Tensor, boxes: Tensor, over_anchor: bool = False) -> Tensor:
    """IoU of anchors (A, 4) with boxes (N, G, 4): (N, A, G).

    ``over_anchor`` divides by the anchor's area instead of the union. In memory the anchors
    are the last dimension, because there are many of them.
    """
    left, top, right, bottom = anchors.T.contiguous()  # each (A,)
    x1, y1, x2, y2 = boxes[..., None].unbind(-2)  # each (N, G, 1)
    width = (torch.minimum(right, x2) - torch.maximum(left, x1)).clamp_(min=0)
    height = (torch.minimum(bottom, y2) - torch.maximum(top, y1)).clamp_(min=0)
    common = width.mul_(height)
    anchor_area = (right - left) * (bottom - top)
    if over_anchor:
        return (common / anchor_area.clamp(min=1e-6)).mT
    box_area = (x2 - x1) * (y2 - y1)
    return (common / (anchor_area + box_area - common).clamp_(min=1e-6)).mT


def match(
    anchors: Tensor, boxes: Boxes, crowds: Boxes, threshold: float = 0.5, crowd_iof: float = 0.5
) -> Tensor:
    """Match each anchor with a box.

    An anchor takes the box it overlaps most if their IoU reaches ``threshold``. Every box
    also takes the anchor it overlaps most; if two boxes take the same anchor, the later box
    gets it. Unmatched anchors are ignored if more than ``crowd_iof`` of their area is in a
    crowd region.

    Returns:
        (N, A) box index, `NEGATIVE` or `IGNORED`.
    """
    images, count = boxes.valid.shape
    step = max(1, _CHUNK // max(1, len(anchors) * max(count, crowds.valid.shape[1])))
    parts = [
        _match(
            anchors,
            Boxes(*(field[start : start + step] for field in boxes)),
            Boxes(*(field[start : start + step] for field in crowds)),
            threshold,
            crowd_iof,
        )
        for start in range(0, images, step)
    ]
    return torch.cat(parts)


def _match(anchors, boxes: Boxes, crowds: Boxes, threshold: float, crowd_iof: float) -> Tensor:
    images, count = boxes.valid.shape
    matched = anchors.new_full((images, len(anchors)), NEGATIVE, dtype=torch.long)
    if crowds.valid.shape[1]:
        inside = overlaps(anchors, crowds.corners, over_anchor=True) > crowd_iof
        inside = (inside & crowds.valid[:, None]).any(-1)
        matched = matched.masked_fill(inside, IGNORED)
    if not count:
        return matched
    iou = overlaps(anchors, boxes.corners).masked_fill(~boxes.valid[:, None], -1.0)
    best, which = iou.max(-1)
    matched = torch.where(best >= threshold, which, matched)
    # Each box's own best anchor; with amax the later box gets it, whatever the order of writes.
    indices = torch.arange(count, device=anchors.device).expand(images, count)
    taken = torch.where(boxes.valid, indices, NEGATIVE)
    forced = torch.full_like(matched, NEGATIVE)
    forced = forced.scatter_reduce(1, iou.argmax(1), taken, "amax")
    return torch.where(forced >= 0, forced, matched)


def hardest_negatives(loss: Tensor, negative: Tensor, wanted: Tensor) -> Tensor:
    """Sum of the ``wanted`` (N,) greatest losses (N, A) among ``negative`` (N, A): (N,)."""
    ranked = loss.masked_fill(~negative, 0.0).sort(1, descending=True).values
    places = torch.arange(loss.shape[1], device=loss.device)
    return (ranked * (places < wanted[:, None])).sum(1)
