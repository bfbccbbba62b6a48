"""What a detector found beside what is annotated, as numbers.

Each detection has one kind. The kinds of errors are those of TIDE
(https://arxiv.org/abs/2008.08052, section 2.2), with its thresholds 0.5 and 0.1. Detections are
taken by decreasing score, and IoU is with the annotated boxes of the image:

- right: IoU of 0.5 or more with a box of its class that no detection before it has taken.
- duplicate: the same, but that box is taken.
- badly placed: IoU from 0.1 to 0.5 with a box of its class, and not more with any.
- wrong class: IoU of 0.5 or more with a box of another class.
- background: all others. TIDE's "both", a badly placed box of the wrong class, is one of them.
- ignored: half of it or more is in a crowd region of its class. It is not counted, as in COCO.

An annotated box is missed if no detection is right, badly placed or of the wrong class there.
The errors are counted among the detections from the score on that has the best F1, the harmonic
mean of precision and recall. Unlike TIDE, nothing says how much AP an error costs.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch

from mixnet_dense.det.targets import overlaps
from mixnet_dense.report.precision import SIZES, average_precision

ERRORS = ("missed", "duplicate", "wrong class", "badly placed", "background")
KINDS = ("right", *ERRORS[1:], "ignored")
_RIGHT, _DUPLICATE, _CLASS, _PLACED, _BACKGROUND, _IGNORED = range(len(KINDS))
_BINS = 10  # of the scores, for calibration


class Photo(NamedTuple):
    """An image's annotated and found boxes: corners in its pixels, found ones by falling score.

    ``input`` is the (height, width) of the network's input, ``scale`` the width and height of an
    image's pixel in the input's pixels.
    """

    file: str
    size: tuple[int, int]  # (height, width) in pixels
    boxes: np.ndarray  # (G, 4)
    labels: np.ndarray  # (G,)
    areas: np.ndarray  # (G,) in pixels, as annotated
    crowd: np.ndarray  # (G,) bool
    found: np.ndarray  # (D, 4)
    scores: np.ndarray  # (D,)
    found_labels: np.ndarray  # (D,)
    input: tuple[int, int] | None = None
    scale: tuple[float, float] = (1.0, 1.0)


class Judged(NamedTuple):
    """Of each detection (D,) its kind in `KINDS`, and the annotated box that it stands for, or -1.

    ``box`` is that box for the kinds right, wrong class and badly placed.
    """

    kind: np.ndarray
    box: np.ndarray


def analyse(
    photos: Sequence[Photo],
    classes: Sequence[str],
    anchors: Callable[[tuple[int, int]], torch.Tensor] | None = None,
) -> tuple[dict, list[dict]]:
    """The numbers of ``metrics.json`` and the rows of ``images.json``, see docs/report.md.

    Args:
        photos: all images, each once.
        classes: names; labels are their places.
        anchors: gives the network's anchors (A, 4), in pixels, for an input's (height, width).
    """
    judged = [judge(photo) for photo in photos]
    scores = np.concatenate([photo.scores for photo in photos])
    kinds = np.concatenate([each.kind for each in judged])
    scores, right = scores[kinds != _IGNORED], kinds[kinds != _IGNORED] == _RIGHT
    annotated = int(sum((~photo.crowd).sum() for photo in photos))
    threshold, rows = best_threshold(scores, right, annotated), []
    for photo, each in zip(photos, judged, strict=True):
        rows.append(_image(photo, each, classes, threshold))
    errors = Counter(dict.fromkeys(("right", *ERRORS), 0))
    for row in rows:
        errors.update(row["count"])
    found = sum(errors.values()) - errors["missed"]
    numbers = dict(
        annotated=annotated,
        threshold=threshold,
        precision=errors["right"] / found if found else None,
        recall=errors["right"] / annotated if annotated else None,
        errors=dict(errors),
        **average_precision(photos, classes),
        confusion=_confusion(photos, judged, len(classes), threshold).tolist(),
        calibration=calibration(scores, right),
        anchors=_unreached(photos, anchors) if anchors else None,
    )
    return numbers, rows


def judge(photo: Photo) -> Judged:
    """Give each detection its kind."""
    found, boxes = torch.from_numpy(photo.found), torch.from_numpy(photo.boxes)
    same = photo.found_labels[:, None] == photo.labels  # (D, G)
    iou = overlaps(found, boxes[None])[0].numpy() * ~photo.crowd
    own, other = iou * same, iou * ~same
    most, most_other = own.max(1, initial=0), other.max(1, initial=0)
    kind = np.select(
        [most >= 0.5, most >= 0.1, most_other >= 0.5], [_DUPLICATE, _PLACED, _CLASS], _BACKGROUND
    )
    box, free = np.full(len(kind), -1), np.ones(len(boxes), bool)
    for row in np.flatnonzero(kind != _BACKGROUND):
        if kind[row] == _DUPLICATE:
            best = (own[row] * free).argmax()
            if own[row, best] * free[best] >= 0.5:
                kind[row], box[row], free[best] = _RIGHT, best, False
        else:
            box[row] = (own if kind[row] == _PLACED else other)[row].argmax()
    inside = overlaps(found, boxes[None], over_anchor=True)[0].numpy() * (same & photo.crowd)
    ignored = (inside.max(1, initial=0) >= 0.5) & (kind != _RIGHT)
    kind[ignored], box[ignored] = _IGNORED, -1
    return Judged(kind, box)


def best_threshold(scores: np.ndarray, right: np.ndarray, annotated: int) -> float:
    """The score from which on the detections have the best F1; 0.3 if none is right."""
    if not right.any():
        return 0.3
    order = np.argsort(-scores, kind="stable")
    f1 = 2 * right[order].cumsum() / (np.arange(len(order)) + 1 + annotated)
    return float(scores[order][f1.argmax()])


def calibration(scores: np.ndarray, right: np.ndarray) -> dict:
    """In ten bins of the score: its mean, the share of right detections and their number.

    ``error`` is the mean distance of the two, over all detections (the expected calibration
    error, https://arxiv.org/abs/1706.04599); None without detections.
    """
    place = np.clip((scores * _BINS).astype(int), 0, _BINS - 1)
    bins = [
        dict(score=float(scores[at].mean()), precision=float(right[at].mean()), boxes=int(at.sum()))
        for at in (place == number for number in range(_BINS))
        if at.any()
    ]
    distances = [row["boxes"] * abs(row["score"] - row["precision"]) for row in bins]
    return dict(error=sum(distances) / len(scores) if bins else None, bins=bins)


def _confusion(photos, judged: Sequence[Judged], count: int, threshold: float) -> np.ndarray:
    """(count + 1, count + 1): annotated by found, background last; each box counts once."""
    matrix = np.zeros((count + 1, count + 1), int)
    for photo, (kind, box) in zip(photos, judged, strict=True):
        labels = np.append(photo.labels, count)
        annotated = np.where(photo.crowd, -1, photo.labels)
        used = (photo.scores >= threshold) & (kind != _IGNORED)
        for chosen in (_RIGHT, _CLASS):  # by falling score
            for row in np.flatnonzero(used & (kind == chosen)):
                if annotated[box[row]] >= 0:
                    matrix[labels[box[row]], photo.found_labels[row]] += 1
                    annotated[box[row]], used[row] = -1, False
        np.add.at(matrix, (count, photo.found_labels[used]), 1)
        np.add.at(matrix, (annotated[annotated >= 0], count), 1)
    return matrix


def _unreached(photos: Sequence[Photo], anchors) -> list[dict]:
    """By size: annotated boxes, and the share that no anchor reaches at IoU 0.5, None of none."""
    areas, best = [np.zeros(0)], [np.zeros(0)]
    for photo in photos:
        boxes = torch.from_numpy(photo.boxes[~photo.crowd] * np.tile(photo.scale, 2))
        if len(boxes):
            best.append(overlaps(anchors(photo.input).double(), boxes[None])[0].amax(0).numpy())
            areas.append(photo.areas[~photo.crowd])
    areas, missed, rows = np.concatenate(areas), np.concatenate(best) < 0.5, []
    for size, (least, most) in SIZES.items():
        inside = (areas >= least) & (areas < most)
        share = float(missed[inside].mean()) if inside.any() else None
        rows.append(dict(size=size, annotated=int(inside.sum()), unreached=share))
    return rows


def _image(photo: Photo, judged: Judged, classes: Sequence[str], threshold: float) -> dict:
    """A row of ``images.json``; boxes are x, y, width, height in pixels."""
    kept, met = photo.scores >= threshold, {}
    for kind in (_PLACED, _CLASS, _RIGHT):
        met.update(dict.fromkeys(judged.box[kept & (judged.kind == kind)].tolist(), KINDS[kind]))
    fates = [
        "crowd" if crowd else met.get(box, "missed")
        for box, crowd in enumerate(photo.crowd.tolist())
    ]
    kinds = [KINDS[kind] for kind in judged.kind[kept]]
    count = Counter(kinds) + Counter(fate for fate in fates if fate == "missed")
    count.pop("ignored", None)
    total = int((~photo.crowd).sum()) + sum(count.values()) - count["missed"]
    drawn = _boxes(photo.found[kept], photo.found_labels[kept], kinds, classes)
    for box, score in zip(drawn, photo.scores[kept].tolist(), strict=True):
        box["score"] = round(score, 4)
    return dict(
        file_name=photo.file,
        size=list(photo.size),
        score=2 * count["right"] / total if total else 1.0,  # F1
        count=dict(count),
        annotated=_boxes(photo.boxes, photo.labels, fates, classes),
        found=drawn,
    )


def _boxes(corners, labels, kinds: Sequence[str], classes: Sequence[str]) -> list[dict]:
    sides = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], 1).round(1)
    rows = zip(sides.tolist(), labels.tolist(), kinds, strict=True)
    return [dict(bbox=box, category=classes[label], kind=kind) for box, label, kind in rows]
