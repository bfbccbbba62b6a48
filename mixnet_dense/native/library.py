"""Compiling the C files of this folder, once for a machine, and loading the result."""

import contextlib
import ctypes
import functools
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from mixnet_dense.layout import is_channels_last

_FLAGS = "-O3 -march=native -std=gnu11 -fno-math-errno -fno-trapping-math -fopenmp -fPIC".split()
_SOURCES = sorted(Path(__file__).parent.glob("*.c"))
_HEADERS = sorted(Path(__file__).parent.glob("*.h"))
_TIME_LIMIT = 120  # seconds

ACTS = (nn.Identity, nn.ReLU, nn.ReLU6, nn.Hardswish, nn.SiLU)
"""Activations the kernels have, in the order of activation.h."""

_switch = {"on": os.environ.get("MIXNET_DENSE_NATIVE", "1") != "0"}


def available() -> bool:
    """Whether the kernels are compiled, which the first call does, and not switched off."""
    return _switch["on"] and library() is not None


@contextlib.contextmanager
def disabled() -> Iterator[None]:
    """Have torch's own operators run in a block."""
    before, _switch["on"] = _switch["on"], False
    try:
        yield
    finally:
        _switch["on"] = before


@functools.cache
def library() -> ctypes.CDLL | None:
    """The compiled kernels, or None with one line in the log that says why not."""
    try:
        return ctypes.CDLL(str(_compiled()))
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        reason = getattr(error, "stderr", None) or str(error)
        print_log(
            f"native kernels: not used, training on a CPU stays with torch's own operators "
            f"({reason.strip().splitlines()[-1]})",
            logger="current",
        )
        return None


def handles(x: Tensor) -> bool:
    """Whether the kernels can take a map: float32 in channels_last on a CPU, run eagerly."""
    return (
        x.device.type == "cpu"
        and x.dtype == torch.float32
        and x.numel() > 0
        and is_channels_last(x)
        and not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()
        and not torch.is_autocast_enabled("cpu")
        and available()
    )


def call(name: str, *arguments: Tensor | ctypes.Structure | ctypes.Array | float | int | None):
    """Run a kernel. Tensors are passed as where their values begin, integers in 64 bits.

    Raises:
        MemoryError: there was none for its working space.
    """
    if getattr(library(), name)(*map(_converted, arguments)):
        raise MemoryError(f"native kernel {name}: no memory")


def _converted(argument):
    if isinstance(argument, Tensor):
        return ctypes.c_void_p(argument.data_ptr())
    if isinstance(argument, ctypes.Structure):
        return ctypes.byref(argument)
    kinds = {int: ctypes.c_int64, bool: ctypes.c_int64, float: ctypes.c_double}
    return kinds.get(type(argument), lambda same: same)(argument)


def _compiled() -> Path:
    """The shared library in the user's cache, compiled now if it is not there.

    Raises:
        OSError: no compiler, no folder to write to.
        RuntimeError: no home folder.
        subprocess.SubprocessError: the compiler failed.
    """
    compiler = shlex.split(os.environ.get("CC", "")) or [_first("cc", "gcc", "clang")]
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mixnet_dense"
    found = folder / f"kernels-{_key(compiler)}.so"
    if found.is_file():
        return found
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as work:
        objects = [str(Path(work, f"{source.stem}.o")) for source in _SOURCES]
        for source, made in zip(_SOURCES, objects, strict=True):
            _run([*compiler, *_FLAGS, "-c", str(source), "-o", made])
        # Not linked with OpenMP's library: torch has loaded one, and two would fight for cores.
        _run([*compiler, "-shared", *objects, "-o", f"{work}/kernels.so", "-lm"])
        os.replace(f"{work}/kernels.so", found)
    return found


def _run(command: list[str]) -> str:
    return subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=_TIME_LIMIT
    ).stdout


def _first(*names: str) -> str:
    for name in names:
        if path := shutil.which(name):
            return path
    raise OSError("no C compiler found")


def _key(compiler: list[str]) -> str:
    """Of everything that the compiled code depends on; home folders are shared by machines."""
    parts = [source.read_text(encoding="utf-8") for source in (*_SOURCES, *_HEADERS)]
    parts += [*_FLAGS, _run([*compiler, "--version"]), platform.platform(), _features()]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _features() -> str:
    """What instructions the CPU has, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.lower().startswith(("flags", "features"))), "")
