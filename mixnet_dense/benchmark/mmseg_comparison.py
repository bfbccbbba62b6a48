"""Our LR-ASPP compared with mmseg's, trained in the same way."""

import copy
from collections.abc import Sequence
from pathlib import Path

import torch
from mmengine.config import Config

from mixnet_dense.benchmark.presentation import markdown
from mixnet_dense.benchmark.subjects import build, host_config, runners
from mixnet_dense.complexity import measure
from mixnet_dense.engine.config import open_model
from mixnet_dense.engine.evaluate import evaluate
from mixnet_dense.engine.train import train
from mixnet_dense.timing import interleave

_THEIRS = "mobilenet_v3/mobilenet-v3-d8-scratch-s_lraspp_4xb4-320k_cityscapes-512x1024.py"
_COUNTED_AT = (1025, 2049)
_REPEATS = 5


def alike(config: Config, size: int, batch: int, iterations: int, seed: int) -> dict[str, Config]:
    """Two configs by name that differ in the model: the config's own, and mmseg's.

    Images are stretched to size x size and flipped, in the order that the seed gives. The
    learning rate falls to zero by the power 0.9. mmseg's model gets the config's number of
    classes, and plain batch norm, which is what its synchronised one is on a single process.

    Raises:
        InputError: this mmseg carries no configs.
    """
    load, labels, flip, pack = (
        dict(type=name)
        for name in ("LoadImageFromFile", "LoadAnnotations", "RandomFlip", "PackSegInputs")
    )
    resize = dict(type="Resize", scale=(size, size), keep_ratio=False)
    ours = copy.deepcopy(config)
    ours.train_dataloader.dataset.pipeline = [load, labels, resize, dict(flip, prob=0.5), pack]
    ours.test_dataloader.dataset.pipeline = [load, resize, labels, pack]
    ours.train_dataloader.batch_size = batch
    ours.model.data_preprocessor.size = (size, size)
    ours.train_cfg = dict(type="IterBasedTrainLoop", max_iters=iterations)
    ours.val_cfg = ours.val_dataloader = ours.val_evaluator = None
    ours.param_scheduler = [dict(type="PolyLR", power=0.9, end=iterations, by_epoch=False)]
    ours.default_hooks.checkpoint = dict(type="CheckpointHook", by_epoch=False, interval=iterations)
    ours.log_processor.by_epoch = False
    ours.randomness = dict(seed=seed)
    theirs = copy.deepcopy(ours)
    theirs.model = host_config("mmseg", _THEIRS).model
    theirs.model.data_preprocessor = ours.model.data_preprocessor
    theirs.model.decode_head.num_classes = ours.model.decode_head.num_classes
    theirs.model.backbone.norm_cfg.type = theirs.model.decode_head.norm_cfg.type = "BN"
    return {"mixnet_dense": ours, "mmseg": theirs}


def train_and_evaluate(configs: dict[str, Config], folder: str) -> list[dict]:
    """Train each config, evaluate it, and time a training step of all of them in turns.

    Args:
        configs: of segmenters, see `alike`.
        folder: for ``NAME.py``, the config, and a folder NAME for logs and the checkpoint.

    Returns:
        A row per config: name, params, params_without_norm, macs (at 1025 x 2049), step_ms (the
        median of a forward and backward pass), mIoU and the IoU of each class in per cent.
    """
    rows, steps = [], {}
    for name, config in configs.items():
        own = str(Path(folder, name))
        train(config, own)
        metrics = evaluate(config, open_model(config, own), folder=own)
        config.dump(f"{own}.py")
        cost = measure(build(f"{own}.py"), _COUNTED_AT)
        rows.append(dict(name=name, **cost._asdict(), **metrics))
        batch, size = config.train_dataloader.batch_size, config.model.data_preprocessor.size
        steps[name] = dict(runners(f"{own}.py", "train", torch.randn(batch, 3, *size)))["model"]
    times = interleave(steps, min(_REPEATS, config.train_cfg.max_iters))
    return [dict(row, step_ms=round(times[row["name"]].median)) for row in rows]


def table(rows: Sequence[dict]) -> str:
    """Markdown: a column per model."""
    keys = ["params", "macs", "step_ms", "mIoU", *(key for key in rows[0] if key[:4] == "IoU.")]
    cells = [[key, *("–" if row[key] is None else f"{row[key]:,}" for row in rows)] for key in keys]
    return markdown(["", *(row["name"] for row in rows)], cells)
