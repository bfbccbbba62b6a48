"""A file's outputs compared with PyTorch's."""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from mixnet_dense.errors import InputError
from mixnet_dense.export import suppression
from mixnet_dense.export.graph import Graph
from mixnet_dense.export.sessions import Session


def differences(session: Session, graph: Graph, inputs: Iterable[Tensor]) -> dict[str, float]:
    """The largest difference of each output, as a share of its largest value.

    For class numbers it is the share of pixels that differ.

    Args:
        session: a file of the graph.
        graph: in eval mode.
        inputs: batches (N, 3, H, W).

    Raises:
        InputError: the graph is not for any size, as its file should be.
    """
    worst = dict.fromkeys(session.about.outputs, 0.0)
    for batch in inputs:
        try:
            found = session(batch.numpy())
        except RuntimeError as error:
            if session.about.height is not None:
                raise
            size = " x ".join(map(str, batch.shape[-2:]))
            raise InputError(f"--dynamic: the file fails with images of {size}") from error
        with torch.inference_mode():
            expected = dict(zip(worst, graph(batch), strict=True))
        for name, value in expected.items():
            worst[name] = max(worst[name], _difference(found[name], value.numpy()))
        largest = max(worst.values())
        print(f"{' x '.join(map(str, batch.shape))}: largest difference {largest:.2g}")
    return worst


def _difference(found: np.ndarray, expected: np.ndarray) -> float:
    """Infinite for mismatched shapes and for NaN."""
    if found.shape != expected.shape:
        return np.inf
    if expected.dtype == np.uint8:
        return float((found != expected).mean())
    scale = max(float(np.abs(expected).max()), 1e-12)
    return float(np.nan_to_num(np.abs(found - expected).max() / scale, nan=np.inf))


def suppression_difference(raw: Session, session: Session, inputs: Iterable[Tensor]) -> float:
    """The share of a file's detections that differ from suppression of the raw file's boxes."""
    missed = total = 0
    for batch in inputs:
        found, candidates = (
            {name: torch.from_numpy(value) for name, value in run(batch.numpy()).items()}
            for run in (session, raw)
        )
        expected = suppression.expected(candidates, session.about)
        for image, (boxes, scores, labels) in enumerate(expected):
            rows = rows_of(found, image, session.about.suppression["max_per_img"])
            # (expected, found); two boxes this close in one class cannot both survive
            same = (labels[:, None] == found["labels"][rows]) & (
                (scores[:, None] - found["scores"][rows]).abs() < 1e-4
            )
            apart = (boxes[:, None] - found["boxes"][rows]).abs().amax(-1)
            same &= apart < 1e-3 * boxes.amax(1, keepdim=True).clamp(min=1)
            larger = max(same.shape)
            total, missed = total + larger, missed + larger - int(same.any(1).sum())
    print(f"suppression: {total - missed} of {total} detections as expected")
    return missed / max(total, 1)


def rows_of(found: dict[str, Tensor], image: int, limit: int) -> Tensor:
    """The indices of an image's best rows of `suppression.OUTPUTS`, by decreasing score."""
    return (found["image"] == image).nonzero()[:limit, 0]
