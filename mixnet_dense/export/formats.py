"""The formats that models are shipped in, as data."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from mixnet_dense.errors import InputError


@dataclass(frozen=True)
class Format:
    """A kind of file.

    Attributes:
        suffix: of the file that users name.
        runs: the package that runs it; names are also those that pip installs.
        makes: the packages that write it.
        able: what more can be in it: ``'dynamic'`` for any batch and size, ``'int8'``, and
            ``'detections'`` or ``'labels'`` for end to end.
        beside: suffixes of what lies beside the file and belongs to it.
    """

    suffix: str
    runs: str
    makes: Sequence[str] = ()
    able: Sequence[str] = ()
    beside: Sequence[str] = ()

    def files(self, path: str) -> list[Path]:
        """All files that ``path`` stands for, itself first."""
        stem = path.removesuffix(self.suffix)
        return [Path(path), *(Path(stem + suffix) for suffix in self.beside)]


_ONNX = ("onnx", "onnxscript")
_ALL = ("dynamic", "int8", "detections", "labels")
FORMATS = {
    "onnx": Format(".onnx", "onnxruntime", _ONNX, able=_ALL),
    "openvino": Format(".xml", "openvino", _ONNX, able=_ALL, beside=(".bin",)),
    "torchscript": Format(".pt", "torch", able=("dynamic", "labels")),
    "tflite": Format(".tflite", "ai_edge_litert", ("litert_torch",), able=("labels",)),
    "ncnn": Format(".ncnn.param", "ncnn", (*_ONNX, "pnnx"), beside=(".ncnn.bin", ".ncnn.json")),
}


def format_of(path: str) -> str | None:
    """Name of the format that a file's suffix stands for, None if it is none of these."""
    return next((name for name, kind in FORMATS.items() if path.endswith(kind.suffix)), None)


def need(what: str, *packages: str) -> None:
    """Raise InputError for the first package that is not installed."""
    for package in packages:
        if find_spec(package) is None:
            raise InputError(
                f"{what}: needs {package}, which is not installed: pip install {package}"
            )
