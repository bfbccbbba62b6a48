"""Export to int8, and the int8 file compared with the float32 file on a test set."""

import copy
import functools
from dataclasses import replace
from pathlib import Path

import numpy as np
from mmengine.config import Config
from torch import nn

from mixnet_dense.engine.config import check_files
from mixnet_dense.engine.evaluate import evaluate
from mixnet_dense.engine.samples import image_files
from mixnet_dense.errors import InputError
from mixnet_dense.export.description import pipeline_resize
from mixnet_dense.export.exporter import Request, export, written_whole
from mixnet_dense.export.formats import FORMATS, need, need_option
from mixnet_dense.export.hosted import exported_model
from mixnet_dense.export.quantize import quantize
from mixnet_dense.export.sessions import Session
from mixnet_dense.timing import interleave

Pairs = dict[str, tuple[float, float]]

_METRICS = ("coco/bbox_mAP", "coco/bbox_mAP_50", "mIoU", "aAcc")
_CALIBRATION = 300  # images
_REPEATS = 30


def export_int8(config: Config, model: nn.Module, images, request: Request) -> Pairs:
    """Export a model, quantise it, compare both files, and keep the int8 file.

    Args:
        config: its training images are for calibration, its test set for evaluation; most
            often the config of the model.
        model, images, request: see `exporter.export`.

    Returns:
        See `compare`; the pairs are printed, too.

    Raises:
        InputError: see `exporter.export`; or the config's test images are resized to another
            size than the file's.
    """
    need_option(request.format, "int8", "--int8")
    need("--int8", "nncf", "onnxruntime")  # which runs the model for calibration
    size, own = request.size or pipeline_resize(model.cfg)["resized"], pipeline_resize(config)
    measured = None if request.dynamic or own.get("keep_ratio") else own["resized"]
    if measured not in (None, size):
        raise InputError(
            "--int8: measures on images as the config's test pipeline resizes them, to "
            f"{' x '.join(map(str, measured))}, --size is {' x '.join(map(str, size))}"
        )
    check_files(config, ("test",))
    calibration = image_files(config, "train", _CALIBRATION)
    kind = FORMATS[request.format]
    with written_whole(request) as int8:
        float32 = str(Path(int8).with_name(f"float32{kind.suffix}"))
        made = export(model, images, replace(request, out=float32))
        quantize(made, calibration, request.format, int8)
        pairs = compare(config, (float32, int8), made.sample.numpy())
        sizes = (sum(f.stat().st_size for f in kind.files(path)) for path in (float32, int8))
        pairs["MB"] = tuple(size / 1e6 for size in sizes)
    for name, (before, after) in pairs.items():
        print(f"{name}: float32 {before:.3f}, int8 {after:.3f} ({after - before:+.3f})")
    return pairs


def compare(config: Config, paths: tuple[str, str], images: np.ndarray) -> Pairs:
    """Measures of a float32 and an int8 file.

    Args:
        config: its test set is used; logs go into the folder of the first file.
        paths: exported files of that config's model.
        images: (N, 3, H, W) float32 to time a call with.

    Returns:
        Pairs by mm's names (mAP in [0, 1], mIoU and aAcc in per cent), and ``ms on one
        thread``, the median time of a call. Both files are called in turns.
    """
    config = copy.deepcopy(config)
    # mmengine keeps one visualizer for the whole process. One that writes files would still
    # write into this folder in later runs, even after the folder is removed.
    config.visualizer = dict(type="Visualizer", name="comparison")
    folder = str(Path(paths[0]).parent)
    before, after = (
        evaluate(config, exported_model(config, path), folder=folder) for path in paths
    )
    calls = {path: functools.partial(Session(path, threads=1), images) for path in paths}
    taken = interleave(calls, _REPEATS)
    pairs = {name: (before[name], after[name]) for name in _METRICS if name in before}
    return {**pairs, "ms on one thread": tuple(taken[path].median for path in paths)}
