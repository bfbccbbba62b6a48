"""Other ways to test a segmentation config: augmented, in windows, for the test server."""

import copy
import shutil
from pathlib import Path

from mmengine.config import Config
from mmengine.dist import is_main_process

from mixnet_dense.engine.config import unreadable_images_named
from mixnet_dense.engine.evaluate import test_runner
from mixnet_dense.errors import InputError
from mixnet_dense.files import check_writable
from mixnet_dense.seg.prepare import train_ids


def with_augmentation(config: Config) -> Config:
    """The config tested at several scales and mirrored, as its ``tta_pipeline`` says."""
    model, pipeline = (_wanted(config, name, "--tta") for name in ("tta_model", "tta_pipeline"))
    config = copy.deepcopy(config)
    config.test_dataloader.dataset.pipeline = pipeline
    config.model = dict(model, module=config.model)
    return config


def with_windows(config: Config) -> Config:
    """The config tested in overlapping windows, as its ``slide_test_cfg`` says."""
    windows = _wanted(config, "slide_test_cfg", "--slide")
    config = copy.deepcopy(config)
    config.model.test_cfg = windows
    return config


def submit(
    config: Config, checkpoint: str, out: str, folder: str | None = None, launcher: str = "none"
) -> Path:
    """Label the images without annotations in the format of Cityscapes' test server.

    Args:
        config: a Cityscapes config; ``submission_data_prefix`` says where the images are.
        checkpoint: weights of that config's model.
        out: folder for ``*.png`` of label ids; ``OUT.zip`` is what the server takes.
        folder, launcher: as for `run.evaluate`.

    Returns:
        The zip file. Nothing is there unless all images are done.

    Raises:
        InputError: as `run.evaluate`; ``out`` is there already; or the classes are not
            Cityscapes' 19.
    """
    target = Path(out)
    partial = target.with_name(f".{target.name}.partial")
    for done in (target, _zip_of(target)):
        if done.exists():
            raise InputError(f"--submission: {done} is there already; give another folder")
    check_writable(str(target))
    train_ids()  # raises where cityscapesscripts is not installed
    _remove(partial)
    try:
        runner = test_runner(_for_server(config, partial), checkpoint, folder, launcher)
        _check_classes(runner.test_loop.dataloader.dataset)
        with unreadable_images_named():
            runner.test()
        if is_main_process():
            shutil.make_archive(str(partial), "zip", partial)
            _zip_of(partial).rename(_zip_of(target))
            partial.rename(target)
    finally:
        _remove(partial)
    return _zip_of(target)


def _zip_of(folder: Path) -> Path:
    return folder.with_name(folder.name + ".zip")


def _remove(partial: Path) -> None:
    if is_main_process():
        shutil.rmtree(partial, ignore_errors=True)
        _zip_of(partial).unlink(missing_ok=True)


def _for_server(config: Config, out: Path) -> Config:
    """The config over the images without labels, writing label ids to ``out``."""
    config = copy.deepcopy(config)
    dataset = config.test_dataloader.dataset
    dataset.data_prefix = _wanted(config, "submission_data_prefix", "--submission")
    dataset.pipeline = without_annotations(dataset.pipeline)
    config.test_evaluator = dict(
        type="mmseg.CityscapesMetric", format_only=True, keep_results=True, output_dir=str(out)
    )
    return config


def without_annotations(pipeline: list) -> list:
    """The pipeline without LoadAnnotations, also inside TestTimeAug."""
    kept = []
    for step in pipeline:
        if step["type"] == "TestTimeAug":
            groups = [without_annotations(group) for group in step["transforms"]]
            step = dict(step, transforms=[group for group in groups if group])
        if step["type"] != "LoadAnnotations":
            kept.append(step)
    return kept


def _check_classes(dataset) -> None:
    from mmseg.datasets import CityscapesDataset

    if tuple(dataset.metainfo["classes"]) != tuple(CityscapesDataset.METAINFO["classes"]):
        raise InputError(
            "--submission: the config's classes are not Cityscapes' 19, which the server takes"
        )


def _wanted(config: Config, name: str, flag: str):
    if name not in config:
        raise InputError(f"{flag}: the config has no {name}, configs/_base_/cityscapes.py has")
    return config[name]
