"""What a data worker does: a config's training pipeline, image by image."""

import statistics
import time
from collections.abc import Sequence

import cv2
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from mixnet_dense.benchmark.presentation import markdown
from mixnet_dense.engine.config import check_files
from mixnet_dense.progress import Progress
from mixnet_dense.timing import summary


def time_pipeline(config: Config, images: int) -> list[dict]:
    """Milliseconds an image takes in one worker: the whole pipeline, then each transform.

    Args:
        config: with a training set that is there.
        images: how many to load, from the first on; again from the first where there are less.

    Returns:
        Rows of ``step``, ``mean``, ``median`` and ``p90``.

    Raises:
        InputError: missing files.
    """
    check_files(config, ("train",))
    init_default_scope(config.get("default_scope", "mmdet"))
    cv2.setNumThreads(0)  # as the configs' env_cfg sets it for every worker
    dataset = Runner.build_dataloader(config.train_dataloader).dataset
    while hasattr(dataset, "dataset"):  # RepeatDataset and its like
        dataset = dataset.dataset
    steps = dataset.pipeline.transforms
    taken: list[list[float]] = [[] for _ in ("pipeline", *steps)]
    progress = Progress(images)
    for index in range(images):
        data = dataset.get_data_info(index % len(dataset))
        first = before = time.perf_counter()
        for step, values in zip(steps, taken[1:], strict=True):
            data = step(data)
            now = time.perf_counter()
            values.append(1000 * (now - before))
            before = now
            if data is None:  # the image is dropped
                break
        taken[0].append(1000 * (before - first))
        progress.step()
    names = ["pipeline", *(type(step).__name__ for step in steps)]
    return [
        dict(step=name, mean=statistics.mean(values), **summary(values)._asdict())
        for name, values in zip(names, taken, strict=True)
    ]


def table(rows: Sequence[dict]) -> str:
    """Markdown, with images a second for the whole pipeline."""
    cells = [[row["step"], *(f"{row[key]:.2f}" for key in _HEAD)] for row in rows]
    per_second = 1000 / rows[0]["mean"]
    head = ["step", *(f"{key} ms" for key in _HEAD)]
    return f"{markdown(head, cells)}\n\n{per_second:.0f} images/s for each worker"


_HEAD = ("mean", "median", "p90")
