"""Check the data of a config: annotations, images, label maps."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmengine.config import Config, ConfigDict
from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.registry import init_default_scope

from mixnet_dense.data.coco_check import CocoCheck, Shapes
from mixnet_dense.data.faults import Findings, cleaned, stopping, table
from mixnet_dense.engine.config import (
    check_files,
    datasets,
    input_files,
    is_local,
    slips_named,
    ssdlite_head,
)
from mixnet_dense.engine.settings import kind_of
from mixnet_dense.errors import InputError
from mixnet_dense.export.description import pipeline_resize
from mixnet_dense.files import check_writable, read_json, write_json
from mixnet_dense.registry import DATASETS, TASK_UTILS

SPLITS = ("train", "val")


def check_data(config: Config, whole: bool = True, fix: str | None = None) -> dict[str, Findings]:
    """Find what is wrong with the training and the validation data.

    Args:
        config: with `CocoDataset` or datasets of label maps; others are not checked.
        whole: decode every image, which finds files that are cut off, look for copies, and read
            the label maps. Their datasets read these before every training anyway.
        fix: file to write a cleaned copy of the training annotations to.

    Returns:
        The findings of each split.

    Raises:
        InputError: files that the config names are missing; or ``fix`` cannot be written or is
            for a dataset that is not COCO's.
    """
    check_files(config, SPLITS)
    if fix:
        check_writable(fix, input_files(config))
    init_default_scope(config.get("default_scope", "mmdet"))
    checks: dict[str, CocoCheck] = {}
    found: dict[str, Findings] = {}
    for split in SPLITS:
        for dataset in datasets(config, (split,)):
            kind = kind_of(dataset)
            if kind == "CocoDataset" and is_local(dataset):
                checks[split] = _coco(dataset, _shapes(config))
                checks[split].images(whole)
                found[split] = checks[split].findings
                if not whole:  # a training follows, which needs the content too
                    _hand_over(dataset, checks[split])
            elif kind in ("CityscapesDataset", "MaskDataset") and is_local(dataset) and whole:
                found[split] = _label_maps(dataset)
    if len(found) == 2:
        found["train"].also_in(found["val"])
    if fix:
        if "train" not in checks or not checks["train"].content:
            raise InputError("--fix: the training annotations are not COCO's json on this disk")
        check = checks["train"]
        write_json(fix, cleaned(check.content, check.findings, check.sizes))
    return found


def check_before_training(config: Config) -> None:
    """Print what the quick checks find, on the main process, and end what would end anyway.

    Raises:
        InputError: a problem that would end the training later; on all processes.
    """
    line = [""]
    if is_main_process():
        found = check_data(config, whole=False)
        if text := table(found):
            print(f"{text}\npython tools/check_data.py CONFIG finds more; --no-check skips this")
        tolerant = (config.get("survival") or {}).get("max_unreadable", 1) > 0
        line = [stopping(found, tolerant)]
    broadcast_object_list(line)
    if line[0]:
        raise InputError(f"{line[0]}; tools/check_data.py lists and --fix leaves out what is bad")


def check_before_scoring(config: Config) -> None:
    """Print what is wrong with a test set's COCO annotations, and refuse what spoils the score.

    Args:
        config: whose evaluators have their ``ann_file``, see `runner.completed`.

    Raises:
        InputError: such a problem, no annotations, or an evaluator whose file is of other images;
            on all processes.
    """
    line = [""]
    if is_main_process():
        for dataset in datasets(config, ("test",)):
            if kind_of(dataset) == "CocoDataset" and is_local(dataset):
                line = [_spoilt(dataset, config.get("test_evaluator") or ())]
    broadcast_object_list(line)
    if line[0]:
        raise InputError(line[0])


def _spoilt(dataset: ConfigDict, metrics) -> str:
    """What spoils the scores of a test set, in one line, '' if nothing does."""
    metrics = [metrics] if isinstance(metrics, dict) else metrics
    scored = [metric for metric in metrics if metric.get("ann_file")]
    if not scored or any(metric.get("format_only") for metric in scored):
        return ""
    check = _coco(dataset, ())
    file = Path(dataset.get("data_root") or "") / dataset.ann_file
    if check.content and not check.content["annotations"]:
        return f"{file}: has no annotations to score against"
    for metric in scored:
        if not file.samefile(metric.ann_file) and _named(check.content) != _named(
            read_json(metric.ann_file)
        ):
            return f"test_evaluator.ann_file: {metric.ann_file}: is not of the images of {file}"
    if text := table({"test": check.findings}):
        print(text)
    problem = stopping({"test": check.findings})
    return problem and f"{file}: {problem}"


def _named(content: dict) -> dict:
    return {row["id"]: row["file_name"] for row in content.get("images", ())}


def _coco(dataset: ConfigDict, shapes: Shapes) -> CocoCheck:
    root = Path(dataset.get("data_root") or "")
    folder = root / (dataset.get("data_prefix") or {}).get("img", "")
    return CocoCheck(root / dataset.ann_file, folder, _classes(dataset), shapes)


def _hand_over(dataset: ConfigDict, check: CocoCheck) -> None:
    from mixnet_dense.det.coco import CocoDataset, hand_over  # needs mmdet

    if check.content and DATASETS.get(dataset.type) is CocoDataset:
        hand_over(str(check.file), check.content)


def _classes(dataset: ConfigDict) -> Sequence[str]:
    return DATASETS.get(dataset.type)._load_metainfo(dataset.get("metainfo"))["classes"]


def _shapes(config: Config) -> Shapes:
    """The head's anchors in fractions of the image; () where the input keeps the image's shape."""
    head = ssdlite_head(config)
    if head is None:
        return ()
    try:
        if pipeline_resize(config).get("keep_ratio"):
            return ()
    except InputError:  # resized in a way that is not known here
        return ()
    default = dict(type="mixnet_dense.SSDLiteAnchorGenerator")
    with slips_named("config"):
        generator = TASK_UTILS.build(head.get("anchor_generator") or default)
    return [shape for level in generator.shapes for shape in level]


def _label_maps(dataset: ConfigDict) -> Findings:
    from mixnet_dense.data.mask_check import check_pairs  # needs mmseg, detection does not

    listed = DATASETS.build(dict(dataset, check_labels=False, pipeline=[], lazy_init=True))
    try:
        rows = listed.load_data_list()
    except InputError as error:
        findings = Findings()
        findings.add("label map not there", str(error))
        return findings
    pairs = [(Path(row["img_path"]), Path(row["seg_map_path"])) for row in rows]
    used = np.flatnonzero(listed.allowed()).tolist()
    names = dict(
        zip((n for n in used if n != listed.ignore_index), _classes(dataset), strict=False)
    )
    return check_pairs(pairs, listed.allowed(), names)
