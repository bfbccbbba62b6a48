"""A float32 file beside what was made of it: quality, size and time."""

import copy
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mmengine.config import Config

from mixnet_dense.engine.evaluate import evaluate
from mixnet_dense.export.formats import FORMATS, format_of
from mixnet_dense.export.sessions import Session
from mixnet_dense.timing import interleave

_METRICS = ("coco/bbox_mAP", "coco/bbox_mAP_50", "mIoU", "aAcc")
_REPEATS = 30


@dataclass(frozen=True)
class Comparison:
    """Pairs of float32 and int8.

    Attributes:
        metrics: by mm's names, on the test set: mAP in [0, 1], mIoU and aAcc in percent.
        size: in bytes, with all that belongs to a file.
        time: median milliseconds of a call on one thread, taken in turns.
    """

    metrics: Mapping[str, tuple[float, float]]
    size: tuple[int, int]
    time: tuple[float, float]

    def __str__(self) -> str:
        lines = [
            f"{name}: float32 {before:.3f}, int8 {after:.3f} ({after - before:+.3f})"
            for name, (before, after) in self.metrics.items()
        ]
        (large, small), (slow, fast) = self.size, self.time
        return "\n".join(
            [
                *lines,
                f"size: float32 {large / 1e6:.2f} MB, int8 {small / 1e6:.2f} MB "
                f"({small / large:.3f} of it)",
                f"one thread: float32 {slow:.1f} ms, int8 {fast:.1f} ms ({slow / fast:.2f} times "
                "as fast)",
            ]
        )


def compare(config: Config, float32: str, int8: str, images: np.ndarray) -> Comparison:
    """Evaluate, weigh and time two files.

    Args:
        config: whose test set is evaluated on; logs go beside ``float32``.
        float32, int8: exported files of that config's model.
        images: (N, 3, H, W) float32 to time a call with.
    """
    paths = (float32, int8)
    folder = str(Path(float32).parent)
    config = copy.deepcopy(config)
    # mmengine keeps a visualizer for the whole process: one that writes would go on doing so
    # into this folder, for other runs and when it is gone.
    config.visualizer = dict(type="Visualizer", name="comparison")
    found = [evaluate(copy.deepcopy(config), path, folder=folder) for path in paths]
    sessions = {path: Session(path, threads=1) for path in paths}
    calls = {path: functools.partial(session, images) for path, session in sessions.items()}
    taken = interleave(calls, _REPEATS)
    size = tuple(
        sum(file.stat().st_size for file in FORMATS[format_of(path)].files(path)) for path in paths
    )
    return Comparison(
        metrics={
            name: tuple(metrics[name] for metrics in found) for name in _METRICS if name in found[0]
        },
        size=size,
        time=tuple(taken[path].median for path in paths),
    )
