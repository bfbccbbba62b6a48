"""COCO's average precision (AP), by class and by the size of the boxes."""

import contextlib
import io
import sys
from collections import Counter
from collections.abc import Sequence

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mixnet_dense import compat

SIZES = {"small": (0, 32**2), "medium": (32**2, 96**2), "large": (96**2, float("inf"))}
"""COCO's: from and to which area in pixels."""


def average_precision(photos: Sequence, classes: Sequence[str]) -> dict:
    """AP by class and size, and precision at 101 recalls.

    Args:
        photos: `detection.Photo` of all images.
        classes: names.

    Returns:
        ``ap``: rows of ``category`` ("all" first), ``annotated`` boxes, and the AP ``all``,
        ``small``, ``medium``, ``large`` and ``iou50``; None where nothing is annotated.
        ``curves``: precision of ``iou50``, ``iou75`` and, at IoU 0.5, of each class that occurs.
    """
    truth, found = _coco(photos, classes, truth=True), _coco(photos, classes, truth=False)
    with contextlib.redirect_stdout(io.StringIO()):
        with compat.fast_coco_evaluation(sys.modules[__name__]):
            scorer = COCOeval(truth, found, "bbox")
        scorer.evaluate()
        scorer.accumulate()
    precision = scorer.eval["precision"][..., -1]  # (IoU, recall, class, size), -1: no boxes
    counts = Counter(int(n) for photo in photos for n in photo.labels[~photo.crowd])
    rows = [_ap_row("all", sum(counts.values()), precision)]
    curves = dict(iou50=_curve(precision[0, :, :, 0]), iou75=_curve(precision[5, :, :, 0]))
    by_class = {}
    for label, name in enumerate(classes):
        own = precision[:, :, [label]]
        rows.append(_ap_row(name, counts[label], own))
        if counts[label]:
            by_class[name] = _curve(own[0, :, :, 0])
    return dict(ap=rows, curves=dict(curves, classes=by_class))


def _coco(photos: Sequence, classes: Sequence[str], truth: bool) -> COCO:
    annotations = []
    for image, photo in enumerate(photos):
        if truth:
            columns = (photo.boxes, photo.labels, photo.areas, photo.crowd)
        else:
            areas = (photo.found[:, 2:] - photo.found[:, :2]).prod(1)
            columns = (photo.found, photo.found_labels, areas, photo.scores)
        for (x1, y1, x2, y2), label, area, last in zip(*(c.tolist() for c in columns), strict=True):
            row = dict(id=len(annotations) + 1, image_id=image, category_id=label, area=area)
            row.update(bbox=[x1, y1, x2 - x1, y2 - y1], iscrowd=int(truth and last), score=last)
            annotations.append(row)
    coco = COCO()
    coco.dataset = dict(
        images=[dict(id=image) for image in range(len(photos))],
        annotations=annotations,
        categories=[dict(id=label, name=name) for label, name in enumerate(classes)],
    )
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    return coco


def _mean(values: np.ndarray) -> float | None:
    known = values[values > -1]
    return float(known.mean()) if known.size else None


def _ap_row(name: str, annotated: int, precision: np.ndarray) -> dict:
    sizes = {size: _mean(precision[..., at]) for at, size in enumerate(("all", *SIZES))}
    return dict(category=name, annotated=annotated, **sizes, iou50=_mean(precision[0, ..., 0]))


def _curve(precision: np.ndarray) -> list[float]:
    """Precision (recall, class) as its mean over the classes that occur; [] if none does."""
    known = precision[:, (precision > -1).all(0)]
    return known.mean(1).round(4).tolist() if known.size else []
