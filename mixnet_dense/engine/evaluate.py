"""Evaluating a checkpoint with the metrics its config names."""

import copy
from pathlib import Path

from mmengine.config import Config
from mmengine.runner import Runner

from mixnet_dense.engine.config import (
    bare_model,
    build_runner,
    check_files,
    check_same_classes,
    unreadable_images_named,
    work_dir,
)
from mixnet_dense.engine.predict import predict
from mixnet_dense.export.hosted import exported_model, is_exported
from mixnet_dense.files import check_writable, json_number, write_json
from mixnet_dense.weights.assume import warn_mismatches
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
        config: see `engine.setup.load_config`, and `variants` for how else to test it.
        checkpoint: weights of that config's model, or a file that `deploy.export` wrote.
        folder: for logs.
        launcher: as for training.
        out: JSON file to write ``{"metrics": {…}}`` to.
        report: folder for ``metrics.json``, ``predictions.json`` and pictures of the
            first images with what was found in them.

    Returns:
        The metrics by mm's names, such as ``coco/bbox_mAP`` or ``mIoU``; None where
        undefined.

    Raises:
        InputError: missing files, a checkpoint of another model, or a place that cannot
            be written.
    """
    targets = [out] if out else []
    if report:
        targets.append(str(Path(report) / "metrics.json"))
    for path in targets:
        check_writable(path)
    runner = test_runner(config, checkpoint, folder, launcher)
    with unreadable_images_named():
        metrics = {name: json_number(value) for name, value in runner.test().items()}
    if runner.rank == 0:
        for path in targets:
            write_json(path, {"metrics": metrics})
        if report:
            _draw_first(runner, config, checkpoint, report)
    return metrics


def test_runner(config: Config, checkpoint: str, folder: str | None, launcher: str) -> Runner:
    """A runner whose test loop is ready, with the checkpoint's weights; see `evaluate`."""
    check_files(config, ("test",))
    config.work_dir = work_dir(config, folder)
    config.launcher = launcher
    config.load_from, config.resume = None, False
    runner = build_runner(config, "test")
    if not isinstance(checkpoint, str) or is_exported(checkpoint):
        runner.model = (
            exported_model(config, checkpoint) if isinstance(checkpoint, str) else checkpoint
        )
        meta = dict(dataset_meta=runner.model.dataset_meta)
    else:
        meta = load_weights(bare_model(runner.model), checkpoint)
    warn_mismatches(config, meta, runner.logger)
    trained = meta.get("dataset_meta") or {}
    if trained.get("classes"):
        own = runner.test_loop.dataloader.dataset.metainfo["classes"]
        check_same_classes("the dataset", own, "the checkpoint", trained["classes"])
    return runner


def _draw_first(runner: Runner, config: Config, checkpoint: str, report: str) -> None:
    """Pictures of the first images; of label maps beside what was annotated."""
    dataset = runner.test_loop.dataloader.dataset
    rows = [dataset.get_data_info(index) for index in range(min(12, len(dataset)))]
    annotated = {}
    if rows[0].get("seg_map_path"):  # None in mmdet
        from mmseg.datasets.transforms import LoadAnnotations

        load = LoadAnnotations()
        annotated = {Path(row["img_path"]): load(row)["gt_seg_map"] for row in rows}
    plain = copy.deepcopy(config)
    plain.model = config.model.get("module", config.model)  # without test-time augmentation
    images = [Path(row["img_path"]) for row in rows]
    predict(plain, checkpoint, images, report, annotated=annotated)
