"""Test a model and write its report."""

import functools
from collections.abc import Callable
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.dist import is_main_process
from torch import nn

from mixnet_dense.benchmark.presentation import machine
from mixnet_dense.complexity import measure
from mixnet_dense.engine.config import input_files
from mixnet_dense.engine.curves import Log, read_log
from mixnet_dense.engine.evaluate import evaluate
from mixnet_dense.engine.runner import bare_model
from mixnet_dense.errors import InputError
from mixnet_dense.export.hosted import ExportedNetwork
from mixnet_dense.files import check_writable, write_json
from mixnet_dense.report import page, segmentation
from mixnet_dense.report.collect import Collector
from mixnet_dense.timing import interleave

VERSION = 1
"""Of ``metrics.json`` and ``images.json``. Changes when a field changes its meaning or goes."""
_REPEATS = 10  # of a timed image


def report(
    config: Config,
    model: nn.Module,
    out: str,
    *,
    checkpoint: str,
    folder: str | None = None,
    metrics_out: str | None = None,
) -> None:
    """Evaluate, and write ``index.html``, ``metrics.json``, ``images.json``, ``predictions.json``.

    docs/report.md describes the files. A segmenter's label maps go to ``masks/``.

    Args:
        config, model, folder: see `evaluate.evaluate`; ``metrics_out`` is its ``out``.
        out: folder.
        checkpoint: as the user gave it; its folder may have the training's log.

    Raises:
        InputError: see `evaluate.evaluate`.
    """
    target = Path(out)
    for name in ("index.html", "metrics.json", "images.json", "predictions.json"):
        check_writable(str(target / name), input_files(config, checkpoint))
    collected = Collector(target)
    options = dict(folder=folder, out=metrics_out, inputs=[checkpoint])
    metrics = evaluate(config, model, hooks=[collected], **options)
    if not is_main_process():
        return
    classes = list(collected.dataset.metainfo["classes"])
    detects = not isinstance(collected.images[0], segmentation.Map)
    if detects:
        from mixnet_dense.report import detection  # needs mmdet, segmenters do without

        numbers, rows = detection.analyse(collected.images, classes, _anchors(model))
    else:
        numbers, rows = segmentation.analyse(collected.images, classes)
        for row, found in zip(rows, collected.rows, strict=True):
            row["mask"] = found["mask"]
    task = "detection" if detects else "segmentation"
    head = dict(version=VERSION, task=task, config=Path(config.filename or "").name)
    summary = dict(
        **head,
        checkpoint=str(checkpoint),
        classes=classes,
        images=len(rows),
        metrics=metrics,
        **_costs_and_speed(model, collected.dataset),
        **{task: numbers},
    )
    write_json(str(target / "predictions.json"), collected.rows)
    write_json(str(target / "images.json"), dict(version=VERSION, images=rows))
    write_json(str(target / "metrics.json"), summary)
    page.write(target / "index.html", summary, rows, training_log(checkpoint), collected.dataset)


def _anchors(model: nn.Module) -> Callable[[tuple[int, int]], torch.Tensor] | None:
    """See `detection.analyse`; None for a network without SSDLite's anchors."""
    from mixnet_dense.det.anchors import input_anchors  # needs mmdet, segmenters do without

    head = getattr(model, "bbox_head", None)  # two-stage detectors have none
    if not hasattr(getattr(head, "prior_generator", None), "anchors"):
        return None
    return functools.cache(functools.partial(input_anchors, model))


def _costs_and_speed(model: nn.Module, dataset) -> dict:
    """Of one image as the test set prepares it; None for what cannot be measured."""
    bare = bare_model(model)
    if bare is not model:  # several images of each
        return dict(costs=None, speed=None)
    batch = pseudo_collate([dataset[0]])
    shape, costs = list(batch["inputs"][0].shape[-2:]), None
    if not isinstance(bare.backbone, ExportedNetwork):
        costs = dict(shape=shape, **measure(model, shape)._asdict())
    with torch.no_grad():
        (times,) = interleave({"": lambda: model.test_step(batch)}, _REPEATS).values()
    where = machine(next(model.parameters(), torch.empty(0)).device.type, torch.get_num_threads())
    speed = dict(shape=shape, median_ms=times.median, p90_ms=times.p90, machine=where)
    return dict(costs=costs, speed=speed)


def training_log(checkpoint: str) -> Log | None:
    """The log of the training that wrote a checkpoint, with at most 1000 steps, if it is there."""
    path = Path(checkpoint)
    try:
        log = read_log(path if path.is_dir() else path.parent)
    except InputError:
        return None
    return Log(log.train[:: len(log.train) // 500 + 1], log.val)
