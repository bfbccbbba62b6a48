"""Other ways to test a config: augmented, in windows, or for a test server, without metrics."""

import copy
import shutil
from pathlib import Path

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.registry import init_default_scope
from torch import nn

from mixnet_dense.engine.config import datasets, without_annotations
from mixnet_dense.engine.runner import test_runner
from mixnet_dense.engine.settings import kind_of
from mixnet_dense.errors import InputError
from mixnet_dense.files import check_writable
from mixnet_dense.registry import MODELS


def with_augmentation(config: Config, model: nn.Module) -> tuple[Config, nn.Module]:
    """Config and model for tests at several scales and mirrored, as ``tta_pipeline`` says."""
    wrapper, pipeline = (_wanted(config, name, "--tta") for name in ("tta_model", "tta_pipeline"))
    config = copy.deepcopy(config)
    config.test_dataloader.dataset.pipeline = pipeline
    init_default_scope(config.get("default_scope", "mmseg"))
    return config, MODELS.build(dict(wrapper, module=model))


def with_windows(config: Config) -> Config:
    """The config for tests in overlapping windows, as its ``slide_test_cfg`` says."""
    windows = _wanted(config, "slide_test_cfg", "--slide")
    config = copy.deepcopy(config)
    config.model.test_cfg = windows
    return config


def _wanted(config: Config, name: str, flag: str):
    if name not in config:
        raise InputError(
            f"{flag}: the config has no {name}, configs/_base_/datasets/cityscapes.py has"
        )
    return config[name]


def _unannotated(config: Config) -> Config:
    """A copy whose test pipeline needs no annotations."""
    config = copy.deepcopy(config)
    for dataset in datasets(config, ("test",)):
        dataset.pipeline = without_annotations(dataset.pipeline)
    return config


# ----------------------------------------------------------- COCO's test server


def write_detections(
    config: Config, model: nn.Module, prefix: str, folder: str | None = None
) -> str:
    """Detect in a test set, with or without annotations, and write the file for COCO's server.

    Args:
        config, model, folder: as for `evaluate.evaluate`.
        prefix: the file is ``PREFIX.bbox.json``.

    Returns:
        The file.

    Raises:
        InputError: as `evaluate.evaluate`; or the config's metric is not COCO's.
    """
    out = f"{prefix}.bbox.json"
    check_writable(out)
    config = _unannotated(config)
    metric = config.get("test_evaluator")
    if kind_of(metric) != "CocoMetric":
        raise InputError("--format-only: the config's test_evaluator is not a CocoMetric")
    metric.update(format_only=True, outfile_prefix=prefix)
    test_runner(config, model, folder).test()
    return out


# ----------------------------------------------------- Cityscapes' test server


def submit(config: Config, model: nn.Module, out: str, folder: str | None = None) -> Path:
    """Label the images without annotations in the format of Cityscapes' test server.

    Args:
        config: a Cityscapes config; ``submission_data_prefix`` says where the images are.
        model, folder: as for `evaluate.evaluate`.
        out: folder for ``*.png`` of label ids; ``OUT.zip`` is what the server takes.

    Returns:
        The zip file. It is written only after all images are done.

    Raises:
        InputError: as `evaluate.evaluate`; ``out`` is there already; or the classes are not
            Cityscapes' 19.
    """
    from mixnet_dense.seg.prepare import train_ids  # needs mmseg, detectors do without

    target, zipped = Path(out), Path(f"{out}.zip")
    partial = target.with_name(f".{target.name}.partial")
    for done in (target, zipped):
        if done.exists():
            raise InputError(f"--submission: {done} is there already; give another folder")
    check_writable(out)
    train_ids()  # raises where cityscapesscripts is not installed
    images = _wanted(config, "submission_data_prefix", "--submission")
    config = _unannotated(config)
    config.test_dataloader.dataset.data_prefix = images
    config.test_evaluator = dict(
        type="mmseg.CityscapesMetric", format_only=True, keep_results=True, output_dir=str(partial)
    )
    _remove(partial)
    try:
        runner = test_runner(config, model, folder)
        _check_classes(runner.test_loop.dataloader.dataset)
        runner.test()
        if is_main_process():
            partial.rename(target)
            shutil.make_archive(out, "zip", target)
    finally:
        _remove(partial)
    return zipped


def _remove(folder: Path) -> None:
    if is_main_process():
        shutil.rmtree(folder, ignore_errors=True)


def _check_classes(dataset) -> None:
    from mmseg.datasets import CityscapesDataset

    if tuple(dataset.metainfo["classes"]) != tuple(CityscapesDataset.METAINFO["classes"]):
        raise InputError(
            "--submission: the config's classes are not Cityscapes' 19, which the server takes"
        )
