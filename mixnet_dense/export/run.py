"""From a config and its checkpoint to a file that other runtimes run, verified."""

import functools
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from mmengine.config import Config
from torch import Tensor, nn

from mixnet_dense.engine.config import check_files
from mixnet_dense.engine.int8 import Comparison, compare
from mixnet_dense.engine.predict import load_model
from mixnet_dense.errors import InputError
from mixnet_dense.export import suppression
from mixnet_dense.export.formats import FORMATS, Format, need
from mixnet_dense.export.graph import Description, Graph, describe, resized
from mixnet_dense.export.inputs import of_split, pixels, prepared
from mixnet_dense.export.sessions import Session
from mixnet_dense.export.verification import batches, differences, suppression_differences
from mixnet_dense.export.writers import SAVE, WRITE, onnx_model
from mixnet_dense.files import check_writable
from mixnet_dense.images import find_images

TOLERANCE = 1e-3
_IMAGES = 3
_CALIBRATION = 300  # images


@dataclass(frozen=True)
class Request:
    """What to export.

    Attributes:
        format: a name in `formats.FORMATS`.
        out: the file, with the suffix of its format; OpenVINO puts a ``.bin`` beside it.
        size: (height, width) of the input; None for what the test pipeline resizes to.
        batch: images of the input.
        dynamic: any batch and size; ``size`` and ``batch`` are then those it is traced with.
        preprocess, end_to_end: see `graph.Description`.
        images: files, folders or globs of images to verify with; by default the first of
            the config's test set.
        tolerance: largest difference allowed, in shares of the largest value of an output.
        int8: a config whose training images calibrate an int8 model and whose test set
            measures it, most often the same; None for float32.
    """

    format: str
    out: str
    size: tuple[int, int] | None = None
    batch: int = 1
    dynamic: bool = False
    preprocess: bool = False
    end_to_end: bool = False
    images: Sequence[str] = ()
    tolerance: float = TOLERANCE
    int8: Config | None = None


@dataclass(frozen=True)
class Exported:
    """What came of it.

    Attributes:
        differences: the largest of each output from PyTorch's, see `verification`. Of int8
            they are those of the float32 file that it was made of.
        int8: float32 beside int8, if that was wanted.
    """

    differences: dict[str, float]
    int8: Comparison | None = None


def export(
    config: Config, checkpoint: str, request: Request, say: Callable[[str], None] = print
) -> Exported:
    """Write a file, run it beside PyTorch, and keep it only if both agree.

    Args:
        config: of a detector or segmenter.
        checkpoint: weights of that config's model.
        request: what is wanted.
        say: gets a line for each comparison.

    Raises:
        InputError: anything the request, the checkpoint or the machine lacks, or a
            difference above the tolerance; no file is left behind then.
    """
    kind = _check(request)
    check_writable(request.out)
    model = load_model(config, checkpoint).cpu()
    _check_model(model, request)
    about = describe(
        config,
        model,
        size=request.size,
        batch=request.batch,
        preprocess=request.preprocess,
        end_to_end=request.end_to_end,
    )
    size = request.size or about.resized
    if size is None:
        raise InputError("--size: is needed, the config's test pipeline does not resize images")
    if request.int8 and not request.dynamic and (resized(request.int8) or size) != size:
        raise InputError(
            "--int8: measures on images as the config's test pipeline resizes them, to "
            f"{' x '.join(map(str, resized(request.int8)))}, --size is {size[0]} x {size[1]}"
        )
    open_sizes = dict(batch=None, height=None, width=None)
    fixed = dict(height=size[0], width=size[1])
    about = replace(about, **(open_sizes if request.dynamic else fixed))
    paths = find_images(request.images) if request.images else of_split(config, "test", _IMAGES)
    images = pixels(paths[:_IMAGES])
    graph = Graph(model, about).eval()
    sample = prepared(images, size, about)[:1].expand(about.batch or 2, -1, -1, -1)
    inputs = functools.partial(batches, images, size, about)
    with tempfile.TemporaryDirectory(dir=Path(request.out).parent, prefix=".export-") as work:
        made = str(Path(work, f"model{kind.suffix}"))
        comparison = None
        say(f"writing {request.format}")
        files, proto = write(graph, about, request.format, sample, made)
        found = differences(Session(files[0]), graph, inputs(), say)
        if len(files) > 1:
            found |= suppression_differences(*map(Session, files), inputs(), say)
        _check_differences(found, request)
        if request.int8:
            made, comparison = _int8(proto, about, size, request, made)
        for source, target in zip(kind.files(made), kind.files(request.out), strict=True):
            os.replace(source, target)
    return Exported(found, comparison)


def write(graph: Graph, about: Description, form: str, sample: Tensor, path: str):
    """Write a graph, unverified.

    Args:
        graph, about: what to write.
        form: a name in `formats.FORMATS`.
        sample: an input to trace it with.
        path: the file.

    Returns:
        The files, see `_save`, and the ONNX model that they were made of, if any.
    """
    if form not in SAVE:
        WRITE[form](graph, about, sample, path)
        return [path], None
    proto = onnx_model(graph, about, sample)
    return _save(proto, about, form, path), proto


def _save(proto, about: Description, form: str, path: str) -> list[str]:
    """Write an ONNX model in another format.

    Returns:
        The file; of a detector end to end also ``path``, that with suppression.
    """
    if not (about.end_to_end and about.task == "detection"):
        SAVE[form](proto, about, path)
        return [path]
    candidates = str(Path(path).with_stem(f"{Path(path).stem}_candidates"))
    SAVE[form](proto, about, candidates)
    whole = replace(about, outputs=suppression.OUTPUTS)
    SAVE[form](suppression.append(proto, about), whole, path)
    return [candidates, path]


def _int8(proto, about: Description, size, request: Request, made: str) -> tuple[str, Comparison]:
    """Quantise a model, and compare the file of that with ``made``."""
    from mixnet_dense.export.quantize import quantize

    def read(path: Path) -> np.ndarray:
        return prepared(pixels([path]) * (about.batch or 1), size, about).numpy()

    paths = of_split(request.int8, "train", _CALIBRATION)
    path = str(Path(made).with_stem("int8"))
    _save(quantize(proto, paths, read), about, request.format, path)
    return path, compare(request.int8, made, path, read(paths[0]))


def _check(request: Request) -> Format:
    if request.format not in FORMATS:
        allowed = ", ".join(FORMATS)
        raise InputError(f"--format {request.format}: must be one of {allowed}")
    kind = FORMATS[request.format]
    if not request.out.endswith(kind.suffix):
        raise InputError(f"--out {request.out}: must end in {kind.suffix} for {request.format}")
    if request.batch < 1:
        raise InputError(f"--batch {request.batch}: must be 1 or more")
    need(f"--format {request.format}", *kind.makes, kind.runs)
    if request.dynamic:
        _check_able(request.format, "dynamic", "--dynamic")
    if request.int8:
        _check_able(request.format, "int8", "--int8")
        need("--int8", "nncf", "onnxruntime")  # which runs the model to see its ranges
        check_files(request.int8, ("train", "test"))
    return kind


def _check_able(form: str, what: str, flag: str) -> None:
    if what not in FORMATS[form].able:
        able = " or ".join(name for name, kind in FORMATS.items() if what in kind.able)
        raise InputError(f"{flag}: {form} cannot have {what} in it; use {able}")


def _check_differences(found: dict[str, float], request: Request) -> None:
    worst = max(found, key=found.get)
    if not found[worst] <= request.tolerance:
        raise InputError(
            f"{request.out}: not written: '{worst}' differs from PyTorch's by "
            f"{found[worst]:.2g} of its largest value, allowed are {request.tolerance:g}"
        )


def _check_model(model: nn.Module, request: Request) -> None:
    """What a model and a format cannot have together."""
    if not request.end_to_end:
        return
    detects = hasattr(model, "bbox_head")
    _check_able(request.format, "detections" if detects else "labels", "--end-to-end")
    if detects and model.bbox_head.test_cfg["nms"].get("type") != "nms":
        raise InputError("--end-to-end: only nms of type 'nms' can be in the file")
