"""Export a model to a file for another runtime, and verify the file."""

import math
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from torch import Tensor, nn

from mixnet_dense.errors import InputError
from mixnet_dense.export import suppression
from mixnet_dense.export.description import Description, describe
from mixnet_dense.export.formats import FORMATS, need, need_option
from mixnet_dense.export.graph import Graph, network_input
from mixnet_dense.export.sessions import Session
from mixnet_dense.export.verification import differences, suppression_difference
from mixnet_dense.export.writers import onnx_model
from mixnet_dense.files import check_writable, put_in_place, write_errors_named

_MOST_PIXELS = 2**25  # of an input; the largest that is usual, 8K, has 33 million
# A file for any size is verified there too: padding and rounding show where sides are odd,
# LR-ASPP's pooling where rows or columns have one window and where they have several.
_ODD_SIZES = ((129, 97), (289, 833), (961, 1185))


@dataclass(frozen=True)
class Request:
    """What to export.

    Raises:
        InputError: the format does not exist or cannot hold this, or its packages are not
            installed.
    """

    format: str  # a name in `formats.FORMATS`
    out: str  # the file, with the suffix of its format
    size: tuple[int, int] | None = None  # (height, width); None: the test pipeline's
    batch: int = 1
    dynamic: bool = False  # any batch and size; `size` is then only for tracing
    preprocess: bool = False  # see `description.Description`
    end_to_end: bool = False
    tolerance: float = 1e-3  # largest difference, as a share of an output's largest value

    def __post_init__(self):
        if self.format not in FORMATS:
            raise InputError(f"--format {self.format}: must be one of {', '.join(FORMATS)}")
        kind = FORMATS[self.format]
        if not self.out.endswith(kind.suffix):
            raise InputError(f"--out {self.out}: must end in {kind.suffix} for {self.format}")
        if self.batch < 1:
            raise InputError(f"--batch {self.batch}: must be 1 or more")
        if self.size and math.prod(self.size) * self.batch > _MOST_PIXELS:
            raise InputError(
                f"--size {self.size[0]} {self.size[1]} --batch {self.batch}: at most "
                f"{_MOST_PIXELS} pixels can be exported"
            )
        if not 0 <= self.tolerance < math.inf:
            raise InputError(f"--tolerance {self.tolerance}: must be a number from 0 on")
        need(f"--format {self.format}", *kind.packages, kind.runtime)
        if self.dynamic:
            need_option(self.format, "dynamic", "--dynamic")


@dataclass(frozen=True)
class Exported:
    """The result of an export."""

    about: Description  # the file's metadata, before suppression is added
    differences: dict[str, float]  # of each output the largest difference from PyTorch's
    sample: Tensor  # an input (N, 3, H, W)
    proto: object | None  # the ONNX model, if any, before suppression is added


def export(model: nn.Module, images: Sequence[np.ndarray], request: Request) -> Exported:
    """Write a file, compare its outputs with PyTorch's, and keep it only if they agree.

    Args:
        model: a detector or segmenter with ``cfg`` and ``dataset_meta``, see
            `weights.load.load_model`.
        images: (H, W, 3) uint8, BGR, to verify with, at least one.
        request: what is wanted.

    Raises:
        InputError: the model cannot be exported to this format, the file cannot be written, or
            a difference is above the tolerance. Then no file is left.
    """
    about, size = _describe(model, request)
    sizes = [size, *_ODD_SIZES] if request.dynamic else [size]
    inputs = [network_input(images[:n], each, about) for each in sizes for n in (1, len(images))]
    graph = Graph(model, about).cpu().eval()
    sample = inputs[0].expand(about.batch or 2, -1, -1, -1)
    with written_whole(request) as path:
        print(f"writing {request.format}")
        proto = write(graph, request.format, sample, path)
        if about.suppresses:
            raw = str(Path(path).with_name(f"raw{FORMATS[request.format].suffix}"))
            FORMATS[request.format].save(proto, about, raw)
            found = differences(Session(raw), graph, inputs)
            found["detections"] = suppression_difference(Session(raw), Session(path), inputs)
        else:
            found = differences(Session(path), graph, inputs)
        worst = max(found, key=found.get)
        if not found[worst] <= request.tolerance:
            raise InputError(
                f"{request.out}: not written: '{worst}' differs from PyTorch's by "
                f"{found[worst]:.2g} of its largest value, allowed are {request.tolerance:g}"
            )
    return Exported(about, found, sample, proto)


def _describe(model: nn.Module, request: Request) -> tuple[Description, tuple[int, int]]:
    """The file's metadata, and (height, width) to trace it with."""
    about = describe(model, preprocess=request.preprocess, end_to_end=request.end_to_end)
    if request.end_to_end:
        option = "detections" if about.suppresses else "labels"
        need_option(request.format, option, "--end-to-end")
    if about.suppresses and about.suppression["nms"].get("type") != "nms":
        raise InputError("--end-to-end: only nms of type 'nms' can be in the file")
    size = request.size or about.padded or (None if about.keep_ratio else about.resized)
    if about.padded not in (None, size) and not request.dynamic:
        raise InputError(f"--size: the config pads images to {' x '.join(map(str, about.padded))}")
    if size is None:
        reason = " (keep_ratio=True)" if about.keep_ratio else ""
        raise InputError(
            f"--size: is needed, the config's test pipeline gives no fixed size{reason}"
        )
    if not request.dynamic:
        about = replace(about, batch=request.batch, height=size[0], width=size[1])
    return about, size


@contextmanager
def written_whole(request: Request) -> Iterator[str]:
    """Yield a temporary file to write; it is moved to ``request.out`` if nothing is raised."""
    check_writable(request.out)
    kind, out = FORMATS[request.format], request.out
    place = tempfile.TemporaryDirectory(dir=Path(out).parent, prefix=".export-")
    with place as folder, write_errors_named(out):
        path = str(Path(folder, f"model{kind.suffix}"))
        yield path
        for source, target in zip(kind.files(path), kind.files(out), strict=True):
            put_in_place(Path(source), Path(target))


def write(graph: Graph, form: str, sample: Tensor, path: str):
    """Write a graph, unverified, in a format of `formats.FORMATS`; it is traced with a sample.

    Returns:
        The ONNX model, if any, before suppression is added.
    """
    if FORMATS[form].trace:
        return FORMATS[form].trace(graph, sample, path)
    proto = onnx_model(graph, sample)
    save(proto, graph.about, form, path)
    return proto


def save(proto, about: Description, form: str, path: str) -> None:
    """Write an ONNX model; to an end-to-end detector add suppression first."""
    if about.suppresses:
        proto = suppression.append(proto, about)
        about = replace(about, outputs=suppression.OUTPUTS)
    FORMATS[form].save(proto, about, path)
