"""Weight files: whatever they are wrapped in, read without running code, written whole."""

import json
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from mixnet_dense.cli import InputError
from mixnet_dense.compat import load_file
from mixnet_dense.files import check_writable

# Where libraries put the state dict; the first that is there.
_WRAPPERS = ("state_dict", "model", "ema", "state_dict_ema", "model_ema")
_SUFFIXES = (".pth", ".safetensors")
_META = "mixnet_dense"  # our entry in the metadata of a safetensors file


def read(path: str) -> tuple[dict[str, Tensor], dict]:
    """Read a state dict and the metadata beside it.

    Args:
        path: ``.safetensors``, or what ``torch.save`` wrote: a state dict alone or inside
            ``state_dict``, ``model`` or ``ema``; with or without ``module.`` in front.

    Returns:
        Tensors by key, and ``meta``, empty where there is none.

    Raises:
        InputError: no such file, a broken one, one that could run code, or one without
            weights.
    """
    if Path(path).suffix == ".safetensors":
        return _read_safetensors(path)
    content = load_file(path)
    meta = content.get("meta") if isinstance(content, dict) else None
    meta = meta if isinstance(meta, dict) else {}
    for name in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(name), Mapping):
            content = content[name]
            break
    if not isinstance(content, Mapping) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in content.items()
    ):
        found = type(content).__name__
        if isinstance(content, Mapping):
            found = f"dict of {', '.join(map(str, list(content)[:5]))}"
        raise InputError(
            f"checkpoint '{path}': holds a {found}, not weights or a dict with "
            f"{', '.join(_WRAPPERS)}"
        )
    return {key.removeprefix("module."): value for key, value in content.items()}, meta


def write(path: str, state_dict: Mapping[str, Tensor], meta: Mapping) -> None:
    """Write a state dict with ``meta``, whole or not at all.

    Raises:
        InputError: a suffix other than ``.pth`` and ``.safetensors``, or a place that cannot
            be written.
    """
    import torch

    check_suffix(path)
    check_writable(path)
    partial = Path(f"{path}.partial")
    try:
        if Path(path).suffix == ".safetensors":
            tensors = {key: value.contiguous() for key, value in state_dict.items()}
            _write_safetensors(partial, tensors, meta)
        else:
            torch.save(dict(state_dict=dict(state_dict), meta=dict(meta)), partial)
        partial.replace(path)
    except (OSError, RuntimeError) as error:  # torch tells a full disk as RuntimeError
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise InputError(f"{path}: cannot be written: {reason}") from error
    finally:
        partial.unlink(missing_ok=True)


def check_suffix(path: str) -> None:
    """Raise InputError unless a file of this name can be written."""
    if Path(path).suffix not in _SUFFIXES:
        raise InputError(f"{path}: must end in {' or '.join(_SUFFIXES)}")


def _read_safetensors(path: str) -> tuple[dict[str, Tensor], dict]:
    file = Path(path).expanduser()
    if not file.is_file():
        raise InputError(f"checkpoint '{path}': no such file")
    library = _safetensors()
    from safetensors import SafetensorError, safe_open

    try:
        state_dict = library.load_file(file)
        with safe_open(file, framework="pt") as opened:
            meta = json.loads((opened.metadata() or {}).get(_META, "{}"))
    except (SafetensorError, ValueError, OSError) as error:
        raise InputError(f"checkpoint '{path}' is not readable: {error}") from error
    return {key.removeprefix("module."): value for key, value in state_dict.items()}, meta


def _write_safetensors(path: Path, tensors: Mapping[str, Tensor], meta: Mapping) -> None:
    library = _safetensors()
    from safetensors import SafetensorError

    try:
        library.save_file(tensors, path, metadata={_META: json.dumps(meta)})
    except SafetensorError as error:
        raise OSError(str(error)) from error


def _safetensors():
    try:
        import safetensors.torch
    except ImportError as error:
        raise InputError(
            f".safetensors needs safetensors ({error}); run: pip install safetensors"
        ) from error
    return safetensors.torch
