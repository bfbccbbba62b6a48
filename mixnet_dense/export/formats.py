"""The formats that models are exported to, as data."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from mixnet_dense.errors import InputError
from mixnet_dense.export import readers, writers


@dataclass(frozen=True)
class Format:
    """A kind of file. Packages are named as pip knows them."""

    suffix: str  # of the file that users name
    runtime: str  # the package that runs it
    open: Callable  # of `readers`
    save: Callable | None = None  # of `writers`, for formats made from an ONNX model
    trace: Callable | None = None  # of `writers`, for the others
    packages: Sequence[str] = ()  # that write it
    options: Sequence[str] = ()  # what it can hold: any batch and size, int8, end to end
    companions: Sequence[str] = ()  # suffixes of further files that belong to it

    def files(self, path: str) -> list[Path]:
        """``path`` and the files that belong to it."""
        stem = path.removesuffix(self.suffix)
        return [Path(path), *(Path(stem + suffix) for suffix in self.companions)]


_ONNX = ("onnx", "onnxscript")
_ALL = ("dynamic", "int8", "detections", "labels")
FORMATS = {
    "onnx": Format(
        ".onnx", "onnxruntime", readers.open_onnx, save=writers.save_onnx,
        packages=_ONNX, options=_ALL,
    ),
    "openvino": Format(
        ".xml", "openvino", readers.open_openvino, save=writers.save_openvino,
        packages=_ONNX, options=_ALL, companions=(".bin",),
    ),
    "torchscript": Format(
        ".pt", "torch", readers.open_torchscript, trace=writers.trace_torchscript,
        options=("dynamic", "labels"),
    ),
    "tflite": Format(
        ".tflite", "ai_edge_litert", readers.open_tflite, trace=writers.trace_tflite,
        packages=("litert_torch",), options=("labels",),
    ),
    "ncnn": Format(
        ".ncnn.param", "ncnn", readers.open_ncnn, save=writers.save_ncnn,
        packages=(*_ONNX, "pnnx"), companions=(".ncnn.bin", ".ncnn.json"),
    ),
}  # fmt: skip


def format_of(path: str) -> str | None:
    """The name of the format with a file's suffix, None for other suffixes."""
    return next((name for name, kind in FORMATS.items() if path.endswith(kind.suffix)), None)


def need(what: str, *packages: str) -> None:
    """Raise InputError that names every package that is not installed."""
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        raise InputError(f"{what}: packages are not installed: pip install {' '.join(missing)}")


def need_option(name: str, option: str, flag: str) -> None:
    """Raise InputError if a format cannot hold what a flag asks for."""
    if option not in FORMATS[name].options:
        able = " or ".join(other for other, kind in FORMATS.items() if option in kind.options)
        raise InputError(f"{flag}: {name} cannot have {option} in it; use {able}")
