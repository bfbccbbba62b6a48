"""Exported files beside PyTorch."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from mixnet_dense.export import suppression
from mixnet_dense.export.graph import CANDIDATES, Description, Graph
from mixnet_dense.export.inputs import prepared
from mixnet_dense.export.sessions import Session

_OTHER_SIZE = 32  # pixels more and less than the size that is asked for


def batches(
    images: Sequence[np.ndarray], size: tuple[int, int], about: Description
) -> Iterator[Tensor]:
    """Inputs of two batches and, where they are open, two sizes."""
    more = [(size[0] + _OTHER_SIZE, size[1] - _OTHER_SIZE)] if about.height is None else []
    for each in (size, *more):
        batch = prepared(images, each, about)
        yield batch[:1]
        yield batch


def differences(
    session: Session, graph: Graph, inputs: Iterator[Tensor], say: Callable[[str], None]
) -> dict[str, float]:
    """The largest difference of each output, in shares of its largest value.

    Of class numbers it is the share of pixels that differ.
    """
    worst: dict[str, float] = {}
    for batch in inputs:
        found = session(batch.numpy())
        with torch.inference_mode():
            expected = dict(zip(session.about.outputs, graph(batch), strict=True))
        for name, value in expected.items():
            difference = _difference(found[name], value.numpy())
            worst[name] = max(worst.get(name, 0.0), difference)
        say(f"{' x '.join(map(str, batch.shape))}: largest difference {max(worst.values()):.2g}")
    return worst


def _difference(found: np.ndarray, expected: np.ndarray) -> float:
    """Infinite for other shapes and for what is no number."""
    if found.shape != expected.shape:
        return np.inf
    if expected.dtype == np.uint8:
        return float((found != expected).mean())
    scale = max(float(np.abs(expected).max()), 1e-12)
    return float(np.nan_to_num(np.abs(found - expected).max() / scale, nan=np.inf))


def suppression_differences(
    candidates: Session, session: Session, inputs: Iterator[Tensor], say: Callable[[str], None]
) -> dict[str, float]:
    """The share of detections that do not follow from the file's own candidates."""
    about, missed, total = session.about, 0, 0
    for batch in inputs:
        found, every = session(batch.numpy()), candidates(batch.numpy())
        wanted = suppression.expected(*(torch.from_numpy(every[n]) for n in CANDIDATES), about)
        for index, (boxes, scores, labels) in enumerate(wanted):
            own = found["image"] == index
            rows = np.flatnonzero(own)[: about.suppression["max_per_img"]]
            total += max(len(boxes), len(rows))
            missed += max(len(boxes), len(rows)) - _agreeing(
                boxes.numpy(), scores.numpy(), labels.numpy(), found, rows
            )
    say(f"suppression: {total - missed} of {total} detections as expected")
    return {"detections": missed / max(total, 1)}


def _agreeing(boxes, scores, labels, found, rows) -> int:
    """Expected detections that a found one equals; each counts once."""
    left = list(rows)
    for box, score, label in zip(boxes, scores, labels, strict=True):
        for row in left:
            if (
                found["labels"][row] == label
                and abs(found["scores"][row] - score) < 1e-4
                and np.abs(found["boxes"][row] - box).max() < 1e-3 * max(box.max(), 1)
            ):
                left.remove(row)
                break
    return len(rows) - len(left)
