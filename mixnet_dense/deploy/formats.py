"""The formats that models are shipped in, as data."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from mixnet_dense.cli import InputError


@dataclass(frozen=True)
class Format:
    """A kind of file.

    Attributes:
        suffix: of the file that users name.
        runs: the package that runs it; names are also those that pip installs.
        makes: the packages that write it.
        from_onnx: whether it is made of an ONNX model, so that suppression can be inside and
            weights and activations can be int8.
        beside: suffixes of what lies beside the file and belongs to it.
    """

    suffix: str
    runs: str
    makes: Sequence[str] = ()
    from_onnx: bool = False
    beside: Sequence[str] = ()

    def files(self, path: str) -> list[Path]:
        """All files that ``path`` stands for, itself first."""
        return [Path(path), *(Path(path).with_suffix(suffix) for suffix in self.beside)]


_ONNX = ("onnx", "onnxscript")
FORMATS = {
    "onnx": Format(".onnx", "onnxruntime", _ONNX, from_onnx=True),
    "openvino": Format(".xml", "openvino", _ONNX, from_onnx=True, beside=(".bin",)),
    "torchscript": Format(".pt", "torch"),
}


def format_of(path: str) -> str | None:
    """Name of the format that a file's suffix stands for, None if it is none of these."""
    suffixes = {kind.suffix: name for name, kind in FORMATS.items()}
    return suffixes.get(Path(path).suffix)


def need(package: str, what: str) -> None:
    """Raise InputError if a package is not installed."""
    if find_spec(package) is None:
        raise InputError(f"{what}: needs {package}, which is not installed: pip install {package}")
