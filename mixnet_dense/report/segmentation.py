"""What a segmenter found beside what is annotated, as numbers."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Map(NamedTuple):
    """An image's pixels: how many of each pair of an annotated and a found class, without ignored.

    ``pairs`` (P,) are ``annotated * classes + found``, ``counts`` (P,) their numbers.
    """

    file: str
    size: tuple[int, int]  # (height, width) in pixels
    pairs: np.ndarray
    counts: np.ndarray


def count(file: str, annotated: np.ndarray, found: np.ndarray, classes: int) -> Map:
    """`Map` of two label maps (H, W); numbers from ``classes`` on are ignored where annotated."""
    used = annotated < classes
    pairs = annotated[used].astype(np.int64) * classes + found[used]
    return Map(file, annotated.shape, *np.unique(pairs, return_counts=True))


def analyse(maps: Sequence[Map], classes: Sequence[str]) -> tuple[dict, list[dict]]:
    """The numbers of ``metrics.json`` and the rows of ``images.json``, see docs/report.md."""
    size = len(classes)
    confusion, rows = np.zeros(size * size, np.int64), []
    for each in maps:
        confusion[each.pairs] += each.counts
        right = each.counts[each.pairs % (size + 1) == 0].sum()  # the diagonal
        total = each.counts.sum()
        score = float(right / total) if total else 1.0
        rows.append(dict(file_name=each.file, size=list(each.size), score=score))
    confusion = confusion.reshape(size, size)
    right, annotated = confusion.diagonal(), confusion.sum(1)
    union = annotated + confusion.sum(0) - right
    iou = [
        dict(category=name, annotated=int(n), iou=float(hits / all_) if all_ else None)
        for name, n, hits, all_ in zip(classes, annotated, right, union, strict=True)
    ]
    return dict(iou=iou, confusion=confusion.tolist()), rows
