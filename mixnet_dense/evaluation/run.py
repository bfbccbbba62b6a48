"""Evaluating a checkpoint with the metrics its config names."""

import json
import math
import os
from pathlib import Path

from mmengine.config import Config

from mixnet_dense.cli import InputError
from mixnet_dense.engine.setup import build_runner, check_files, check_same_classes, work_dir
from mixnet_dense.weights.load import load_weights


def evaluate(
    config: Config,
    checkpoint: str,
    *,
    folder: str | None = None,
    launcher: str = "none",
    out: str | None = None,
    report: str | None = None,
) -> dict[str, float | None]:
    """Run the config's test loop.

    Args:
        config: see `engine.setup.load_config`.
        checkpoint: weights of that config's model.
        folder: for logs.
        launcher: as for training.
        out: JSON file to write ``{"metrics": {…}}`` to.
        report: folder for ``metrics.json``, ``predictions.json`` and pictures of the
            first images with what was found in them.

    Returns:
        The metrics by mm's names, such as ``coco/bbox_mAP``; None where undefined.

    Raises:
        InputError: missing files, a checkpoint of another model, or a place that cannot
            be written.
    """
    for path in filter(None, (out, report and str(Path(report) / "metrics.json"))):
        check_writable(path)
    config.work_dir = work_dir(config, folder)
    config.launcher = launcher
    config.load_from, config.resume = None, False
    check_files(config, ("test",))
    runner = build_runner(config, "test")
    model = getattr(runner.model, "module", runner.model)
    trained = load_weights(model, checkpoint).get("dataset_meta") or {}
    dataset = runner.test_loop.dataloader.dataset
    if trained.get("classes"):
        check_same_classes(
            "the dataset", dataset.metainfo["classes"], "the checkpoint", trained["classes"]
        )
    metrics = {name: _number(value) for name, value in runner.test().items()}
    if runner.rank == 0:
        for path in filter(None, (out, report and str(Path(report) / "metrics.json"))):
            write_json(path, {"metrics": metrics})
        if report:
            from mixnet_dense.evaluation.predict import predict

            rows = (dataset.get_data_info(index) for index in range(min(12, len(dataset))))
            predict(config, checkpoint, [Path(row["img_path"]) for row in rows], report)
    return metrics


def _number(value) -> float | None:
    """JSON has no NaN, which is how mmdet says that a class has no boxes."""
    return None if math.isnan(value) else float(value)


def check_writable(path: str) -> None:
    """Make the folder of ``path`` and see that a file can be written there."""
    folder = Path(path).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from error
    if not os.access(folder, os.W_OK) or Path(path).is_dir():
        raise InputError(f"{path}: cannot be written")


def write_json(path: str, content) -> None:
    """Write JSON whole or not at all."""
    partial = Path(f"{path}.partial")
    partial.write_text(json.dumps(content, indent=1, allow_nan=False), encoding="utf-8")
    partial.replace(path)
