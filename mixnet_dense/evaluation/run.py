"""Evaluating a checkpoint with the metrics its config names."""

import math
from pathlib import Path

from mmengine.config import Config

from mixnet_dense.engine.setup import (
    build_runner,
    check_files,
    check_same_classes,
    unreadable_images_named,
    work_dir,
)
from mixnet_dense.evaluation.predict import predict
from mixnet_dense.files import check_writable, write_json
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
    targets = [out] if out else []
    if report:
        targets.append(str(Path(report) / "metrics.json"))
    for path in targets:
        check_writable(path)
    check_files(config, ("test",))
    config.work_dir = work_dir(config, folder)
    config.launcher = launcher
    config.load_from, config.resume = None, False
    runner = build_runner(config, "test")
    model = getattr(runner.model, "module", runner.model)
    trained = load_weights(model, checkpoint).get("dataset_meta") or {}
    dataset = runner.test_loop.dataloader.dataset
    if trained.get("classes"):
        check_same_classes(
            "the dataset", dataset.metainfo["classes"], "the checkpoint", trained["classes"]
        )
    with unreadable_images_named():
        metrics = {name: _number(value) for name, value in runner.test().items()}
    if runner.rank == 0:
        for path in targets:
            write_json(path, {"metrics": metrics})
        if report:
            rows = (dataset.get_data_info(index) for index in range(min(12, len(dataset))))
            predict(config, checkpoint, [Path(row["img_path"]) for row in rows], report)
    return metrics


def _number(value) -> float | None:
    """JSON has no NaN, which is how mmdet says that a class has no boxes."""
    return None if math.isnan(value) else float(value)
