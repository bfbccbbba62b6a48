"""Our LR-ASPP beside mmseg's own, trained on the same batches in turns."""

import copy
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import mmseg
import torch
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.runner import Runner, set_random_seed
from torch import nn

from mixnet_dense.complexity import measure
from mixnet_dense.engine.config import check_not_empty
from mixnet_dense.engine.memory import keep_freed_memory
from mixnet_dense.errors import InputError
from mixnet_dense.files import json_number
from mixnet_dense.progress import Progress
from mixnet_dense.registry import MODELS

_THEIRS = "mobilenet_v3/mobilenet-v3-d8-scratch-s_lraspp_4xb4-320k_cityscapes-512x1024.py"
_COUNTED_AT = (1025, 2049)
_WARM_UP = 5  # steps left out of the times


def models(config: Config, seed: int) -> dict[str, nn.Module]:
    """Freshly initialised: the config's model, and that of mmseg's config for it.

    mmseg's gets the config's number of classes and plain batch norm, which is what its
    synchronised one is on a single process.

    Raises:
        InputError: this mmseg carries no configs.
    """
    path = Path(mmseg.__file__).parent / ".mim" / "configs" / _THEIRS
    if not path.is_file():
        raise InputError(f"{path}: not there; this build of mmseg carries no configs")
    theirs = Config.fromfile(path).model
    theirs.decode_head.num_classes = config.model.decode_head.num_classes
    theirs.data_preprocessor = config.model.data_preprocessor
    built = {}
    for name, model in {"mixnet_dense": config.model, "mmseg": theirs}.items():
        set_random_seed(seed)
        built[name] = revert_sync_batchnorm(MODELS.build(model))
        built[name].init_weights()
    return built


def with_size(config: Config, size: int, batch_size: int) -> Config:
    """The config with every image stretched to size x size and no other augmentation but flips."""
    config = copy.deepcopy(config)
    resize = dict(type="Resize", scale=(size, size), keep_ratio=False)
    load, annotations, pack = (
        dict(type=name) for name in ("LoadImageFromFile", "LoadAnnotations", "PackSegInputs")
    )
    flip = dict(type="RandomFlip", prob=0.5)
    config.train_dataloader.dataset.pipeline = [load, annotations, resize, flip, pack]
    config.test_dataloader.dataset.pipeline = [load, resize, annotations, pack]
    config.train_dataloader.batch_size = batch_size
    config.model.data_preprocessor.size = (size, size)
    return config


def compare(config: Config, iterations: int, seed: int) -> list[dict]:
    """Train both on the same batches, one step each in turn, and evaluate both.

    Args:
        config: of a segmenter; its data, optimiser and gradient clipping serve both. The
            learning rate falls to zero by the power 0.9.
        iterations: steps of each.
        seed: of the weights and the order of the images.

    Returns:
        A row per model: name, params, params_without_norm, macs (at 1025 x 2049), the
        median milliseconds of a training step, mIoU and the IoU of each class in per cent.
    """
    keep_freed_memory()  # as tools/train.py does; it serves both
    init_default_scope("mmseg")
    built = models(config, seed)
    wrappers = {
        name: build_optim_wrapper(model, config.optim_wrapper) for name, model in built.items()
    }
    schedules = [
        torch.optim.lr_scheduler.PolynomialLR(wrapper.optimizer, iterations, 0.9)
        for wrapper in wrappers.values()
    ]
    times = {name: [] for name in built}
    progress = Progress(iterations, "steps of each")
    for batch in _batches(config, iterations, seed):
        for name, model in built.items():
            start = time.perf_counter()
            model.train()
            model.train_step(batch, wrappers[name])
            times[name].append(time.perf_counter() - start)
        for schedule in schedules:
            schedule.step()
        progress.step()
    rows = []
    for name, model in built.items():
        cost = measure(model, _COUNTED_AT)
        step = 1000 * statistics.median(times[name][_WARM_UP:] or times[name])
        rows.append(dict(name=name, **cost._asdict(), step_ms=step, **_evaluate(model, config)))
    return rows


def _batches(config: Config, iterations: int, seed: int):
    loader = Runner.build_dataloader(config.train_dataloader, seed=seed)
    check_not_empty(loader)
    epoch = 0
    while True:
        loader.sampler.set_epoch(epoch)
        for batch in loader:
            if iterations == 0:
                return
            iterations -= 1
            yield batch
        epoch += 1


@torch.no_grad()
def _evaluate(model: nn.Module, config: Config) -> dict[str, float]:
    loader = Runner.build_dataloader(config.test_dataloader)
    evaluator = Evaluator(config.test_evaluator)
    evaluator.dataset_meta = loader.dataset.metainfo
    model.eval()
    for batch in loader:
        evaluator.process(data_samples=model.test_step(batch), data_batch=batch)
    metrics = evaluator.evaluate(len(loader.dataset))
    return {name: json_number(value) for name, value in metrics.items()}


def table(rows: Sequence[dict]) -> str:
    """Markdown: a column per model, and ours over theirs for the step."""
    lines = ["| | " + " | ".join(row["name"] for row in rows) + " |"]
    lines.append("|---|" + "---:|" * len(rows))
    names = {"params": "parameters", "macs": "multiply-adds at 1025 x 2049"}
    for key in ("params", "macs"):
        lines.append(f"| {names[key]} | " + " | ".join(f"{row[key]:,}" for row in rows) + " |")
    lines.append(
        "| median training step | " + " | ".join(f"{row['step_ms']:.0f} ms" for row in rows) + " |"
    )
    for key in rows[0]:
        if key == "mIoU" or key.startswith("IoU."):
            values = ("–" if row[key] is None else f"{row[key]:.2f}" for row in rows)
            lines.append(f"| {key} | " + " | ".join(values) + " |")
    return "\n".join(lines)
