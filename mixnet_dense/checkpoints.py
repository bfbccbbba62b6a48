"""Read weight files without running code from them; write them completely or not at all."""

import json
import os
import struct
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError

from mixnet_dense.errors import InputError, first_line
from mixnet_dense.files import check_writable, written_whole

# Keys under which libraries store the state dict. The first one found is used.
_WRAPPERS = ("state_dict", "model", "ema", "state_dict_ema", "model_ema")
SUFFIXES = (".pth", ".safetensors")
_META = "mixnet_dense"  # our entry in the metadata of a safetensors file

_trusted = False


def trust_checkpoints() -> None:
    """Allow checkpoints to run code while they load. Only for files you trust."""
    global _trusted
    _trusted = True


# -------------------------------------------------------------------- reading


def read(path: str) -> tuple[dict, dict]:
    """Read a state dict and its metadata.

    Args:
        path: a ``.safetensors`` file, or a file of ``torch.save``: a state dict, alone or under
            ``state_dict``, ``model`` or ``ema``. Keys may begin with ``module.``.

    Returns:
        Tensors by key, and ``meta``, which is empty if the file has none.

    Raises:
        InputError: the file is missing or broken, could run code, or has no weights.
    """
    if Path(path).suffix == ".safetensors":
        return _read_safetensors(path)
    return unpack(path, load_file(path))


def unpack(path: str, content) -> tuple[dict, dict]:
    """As `read`, of what `load_file` gave for a path.

    Raises:
        InputError: it has no weights.
    """
    meta = {}
    if isinstance(content, dict):
        meta = content["meta"] if isinstance(content.get("meta"), dict) else {}
        inner = [content[name] for name in _WRAPPERS if isinstance(content.get(name), Mapping)]
        content = inner[0] if inner else content
    _check_weights(path, content)
    return _bare(content), meta


def _bare(state_dict: Mapping) -> dict:
    return {key.removeprefix("module."): value for key, value in state_dict.items()}


def load_file(path):
    """Load a file of ``torch.save``, tensors and plain values, without running code.

    Raises:
        InputError: the file is missing, broken, or holds anything beyond tensors,
            plain values and mmengine's own log buffers.
    """
    import torch

    return restricted(torch.load)(str(_existing(path)), map_location="cpu")


def without_code(checkpoint):
    """Drop a checkpoint's config text, which mmengine would execute as Python on resume."""
    if not _trusted and isinstance(checkpoint, dict) and isinstance(checkpoint.get("meta"), dict):
        checkpoint["meta"].pop("config", None)
    return checkpoint


def _existing(path) -> Path:
    file = Path(path).expanduser()
    if not file.is_file():
        raise InputError(f"checkpoint '{path}': no such file")
    return file


def _check_weights(path: str, content) -> None:
    from torch import Tensor

    if isinstance(content, Mapping) and all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in content.items()
    ):
        return
    found = type(content).__name__
    if isinstance(content, Mapping):
        found = f"dict of {', '.join(map(str, list(content)[:5]))}"
    raise InputError(
        f"checkpoint '{path}': holds a {found}, not weights or a dict with {', '.join(_WRAPPERS)}"
    )


def _read_safetensors(path: str) -> tuple[dict, dict]:
    file = _existing(path)
    _safetensors()
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="pt") as opened:
            meta = json.loads((opened.metadata() or {}).get(_META, "{}"))
            if not isinstance(meta, dict):
                raise ValueError(f"the metadata {_META} is no object")
            return _bare({key: opened.get_tensor(key) for key in opened.keys()}), meta
    except (SafetensorError, ValueError, RecursionError, OSError) as error:
        raise InputError(f"checkpoint '{path}' is not readable: {first_line(error)}") from error


def _safetensors():
    """Import ``safetensors.torch``, an optional dependency."""
    try:
        import safetensors.torch
    except ImportError as error:
        raise InputError(
            f".safetensors needs safetensors ({error}); run: pip install safetensors"
        ) from error
    return safetensors.torch


# -------------------------------------------------------------------- writing


def write(path: str, state_dict: Mapping, meta: Mapping) -> None:
    """Write a state dict and ``meta``, completely or not at all.

    Raises:
        InputError: a suffix other than ``.pth`` and ``.safetensors``, or the file cannot be
            written.
    """
    import torch

    check_suffix(path)
    check_writable(path)
    with written_whole(path) as partial:
        if Path(path).suffix == ".safetensors":
            tensors = {key: value.contiguous() for key, value in state_dict.items()}
            content = _safetensors().save(tensors, metadata={_META: json.dumps(meta)})
            partial.write_bytes(content)
        else:
            torch.save(dict(state_dict=dict(state_dict), meta=dict(meta)), partial)


def check_suffix(path: str) -> None:
    """Raise InputError unless a file of this name can be written."""
    if Path(path).suffix not in SUFFIXES:
        raise InputError(f"{path}: must end in {' or '.join(SUFFIXES)}")


# ------------------------------------------------------------------- allow-list

# Errors of unpickling a file that is no checkpoint. ValueError includes UnicodeDecodeError.
_BROKEN = (RuntimeError, EOFError, OSError, ValueError, LookupError, AttributeError)
_BROKEN += (TypeError, AssertionError, struct.error)


def restricted(torch_load):
    """``torch.load`` that ignores the caller's ``weights_only`` and never runs code."""

    def load(file, map_location=None, *_args, **_kwargs):
        import torch

        if isinstance(file, (str, os.PathLike)):
            _check_size(file)
        if _trusted:
            return torch_load(file, map_location=map_location, weights_only=False)
        try:
            with torch.serialization.safe_globals(_plain_values() + _log_buffers()):
                return torch_load(file, map_location=map_location, weights_only=True)
        except UnpicklingError as error:
            raise InputError(f"checkpoint '{file}': {_explain(error)}") from error
        except _BROKEN as error:
            raise InputError(f"checkpoint '{file}' is not readable: {first_line(error)}") from error

    return load


def _check_size(path) -> None:
    """Refuse a zip file that unpacks to more than it has: torch.save compresses nothing."""
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return  # torch's older format, or none, which loading finds
    if size > os.path.getsize(path):
        raise InputError(f"checkpoint '{path}': unpacks to {size} bytes, more than it has")


def _explain(error: UnpicklingError) -> str:
    found = str(error).partition("Unsupported global: GLOBAL ")[2].split(" ")[0]
    if found:
        return (
            f"holds '{found}', which could run code; allowed are tensors and plain values. If "
            "you trust the file: mixnet_dense.checkpoints.trust_checkpoints() before loading, "
            "--trust-checkpoint for our tools"
        )
    return "is not a checkpoint of tensors and plain values"


def _plain_values() -> list:
    """numpy's arrays and numbers, which mmengine's checkpoints also have."""
    import numpy as np

    scalar, (reconstruct, *_) = np.float64(0).__reduce__()[0], np.empty(0).__reduce__()
    allowed = [np.ndarray, np.dtype]
    allowed += [type(np.dtype(kind)) for kind in ("f4", "f8", "i4", "i8", "u4", "u8", "?")]
    for module in ("numpy.core.multiarray", "numpy._core.multiarray"):  # numpy 1 and 2
        allowed += [(scalar, f"{module}.scalar"), (reconstruct, f"{module}._reconstruct")]
    return allowed


def _log_buffers() -> list:
    """What mmengine's log buffers in checkpoints need; without mmengine they stay unread."""
    module = sys.modules.get("mmengine.logging.history_buffer")
    buffer = module.HistoryBuffer if module else type("Unread", (), {})

    def method(owner: type, name: str):
        """``getattr``, for the statistics of the buffers and nothing else."""
        if owner is not buffer or name not in ("min", "max", "mean", "current"):
            raise UnpicklingError(f"Unsupported global: GLOBAL getattr({owner}, {name})")
        return getattr(buffer, name, None)

    name = "mmengine.logging.history_buffer.HistoryBuffer"
    return [(buffer, name), (method, "builtins.getattr")]
