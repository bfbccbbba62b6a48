"""What a data worker does: a config's training pipeline, image by image."""

import statistics
import time
from collections.abc import Iterator, Sequence

import cv2
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from mixnet_dense.engine.config import check_files
from mixnet_dense.progress import Progress
from mixnet_dense.timing import summary


def measure(config: Config, images: int) -> Iterator[dict]:
    """Milliseconds an image takes in one worker: the whole pipeline, then each transform.

    Rows have ``step``, ``mean``, ``median`` and ``p90``.

    Args:
        config: with a training set that is there.
        images: how many to load, from the first on; again from the first where there are less.

    Raises:
        InputError: missing files.
    """
    check_files(config, ("train",))
    init_default_scope(config.get("default_scope", "mmdet"))
    cv2.setNumThreads(0)  # as the configs' env_cfg sets it for every worker
    dataset = Runner.build_dataloader(config.train_dataloader).dataset
    while hasattr(dataset, "dataset"):  # RepeatDataset and its like
        dataset = dataset.dataset
    transforms = list(dataset.pipeline.transforms)
    taken: list[list[float]] = [[] for _ in transforms]
    progress = Progress(images)
    for index in range(images):
        row = dataset.get_data_info(index % len(dataset))
        times = _run(transforms, row)
        for values, value in zip(taken, times, strict=False):  # a dropped image ends early
            values.append(value)
        progress.step()
    whole = [sum(row) for row in zip(*taken, strict=False)]
    yield _row("pipeline", whole)
    for transform, values in zip(transforms, taken, strict=True):
        yield _row(type(transform).__name__, values)


def _row(step: str, values: list[float]) -> dict:
    return dict(step=step, mean=statistics.mean(values), **summary(values)._asdict())


def _run(transforms: list, row: dict) -> list[float]:
    times = []
    for transform in transforms:
        start = time.perf_counter()
        row = transform(row)
        times.append(1000 * (time.perf_counter() - start))
        if row is None:
            break
    return times


def table(rows: Sequence[dict]) -> str:
    """Markdown, with images a second for the whole pipeline."""
    lines = ["| step | mean ms | median ms | p90 ms |", "|---|---:|---:|---:|"]
    lines += [
        f"| {row['step']} | {row['mean']:.2f} | {row['median']:.2f} | {row['p90']:.2f} |"
        for row in rows
    ]
    per_second = 1000 / rows[0]["mean"]
    return "\n".join([*lines, "", f"{per_second:.0f} images/s for each worker"])
