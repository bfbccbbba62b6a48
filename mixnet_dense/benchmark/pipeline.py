"""Time what a data worker does: a config's training pipeline, image by image."""

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

_COLUMNS = ("mean", "median", "p90")


def time_pipeline(config: Config, images: int) -> list[dict]:
    """Milliseconds an image takes in one worker: the whole pipeline, then each transform.

    The first ``images`` of the training set are loaded; a smaller set is repeated.

    Returns:
        Rows of ``step``, ``mean``, ``median`` and ``p90``.

    Raises:
        InputError: missing files.
    """
    check_files(config, ("train",))
    init_default_scope(config.get("default_scope", "mmdet"))
    cv2.setNumThreads(0)  # as the configs' env_cfg sets it for every worker
    dataset = Runner.build_dataloader(config.train_dataloader).dataset
    while hasattr(dataset, "dataset"):  # wrappers such as RepeatDataset
        dataset = dataset.dataset
    steps = dataset.pipeline.transforms
    whole, taken = [], [[] for _ in steps]
    progress = Progress(images)
    for index in range(images):
        data, clock = dataset.get_data_info(index % len(dataset)), [time.perf_counter()]
        for step, values in zip(steps, taken, strict=True):
            if data is not None:  # a transform before dropped the image
                data = step(data)
                clock.append(time.perf_counter())
                values.append(1000 * (clock[-1] - clock[-2]))
        whole.append(1000 * (clock[-1] - clock[0]))
        progress.step()
    names = ["pipeline", *(type(step).__name__ for step in steps)]
    return [
        dict(step=name, mean=statistics.mean(values), **summary(values)._asdict())
        for name, values in zip(names, [whole, *taken], strict=True)
    ]


def table(rows: Sequence[dict]) -> str:
    """Markdown, with images a second for the whole pipeline."""
    cells = [[row["step"], *(f"{row[key]:.2f}" for key in _COLUMNS)] for row in rows]
    head = ["step", *(f"{key} ms" for key in _COLUMNS)]
    return f"{markdown(head, cells)}\n\n{1000 / rows[0]['mean']:.0f} images/s for each worker"
