"""Result files: check early that they can be written, and write them completely. JSON files."""

import json
import math
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePath

from mixnet_dense.errors import InputError, first_line

# In the messages of torch.save where the disk is full: it raises no OSError.
_TORCH_WRITES = ("PytorchStreamWriter", "inline_container", "iostream")


def check_writable(path: str, inputs: Iterable[str | Path] = ()) -> None:
    """Create the folder of ``path`` and check that a file can be written there.

    Raises:
        InputError: it cannot; or the file is one of the ``inputs``, which it would replace.
    """
    for given in inputs:
        if Path(path).exists() and Path(given).exists() and Path(path).samefile(given):
            raise InputError(f"{path}: is an input of this command, give another name to write to")
    folder = Path(path).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):  # permissions do not show every reason
            pass
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from error
    if Path(path).is_dir():
        raise InputError(f"{path}: cannot be written")


@contextmanager
def written_whole(path: str | Path) -> Iterator[Path]:
    """Yield a name beside ``path`` to write to; what is written there then becomes ``path``.

    Whatever stops the process or the machine, ``path`` is the old file or the whole new one.

    Raises:
        InputError: the file cannot be written, as on a full disk. Then ``path`` is unchanged.
    """
    path = Path(path)
    partial = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        with write_errors_named(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield partial
            put_in_place(partial, path)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


@contextmanager
def write_errors_named(path: str | Path) -> Iterator[None]:
    """Say in one line which file could not be written.

    Raises:
        InputError: within the block a file could not be written.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        if not isinstance(error, OSError) and not any(w in str(error) for w in _TORCH_WRITES):
            raise
        reason = getattr(error, "strerror", None) or first_line(error)
        raise InputError(f"{path}: cannot be written: {reason}") from error


def put_in_place(written: Path, path: Path) -> None:
    """Rename a file, after it is on the disk; a crash of the machine then leaves it whole."""
    _sync(written)
    os.replace(written, path)
    with suppress(OSError):  # not every system can open a folder
        _sync(path.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_leftovers(folder: str | Path) -> None:
    """Remove what a killed process left half-written by `written_whole` in a folder."""
    for path in Path(folder).glob(".*.partial*"):
        with suppress(OSError):
            path.unlink()


def write_json(path: str | Path, content) -> None:
    """Write JSON completely or not at all.

    Raises:
        InputError: see `written_whole`.
    """
    with written_whole(path) as partial:
        text = json.dumps(content, indent=1, allow_nan=False)
        partial.write_text(text, encoding="utf-8")


def is_outside(name: str) -> bool:
    """Whether a file's name leads out of the folder that it is said to be in."""
    return PurePath(name).is_absolute() or ".." in PurePath(name).parts


def read_json(path: str | Path):
    """The content of a JSON file.

    Raises:
        InputError: there is no such file, or it is not JSON.
    """
    if not Path(path).is_file():  # a named pipe would be waited for
        raise InputError(f"{path}: must be a file")
    try:
        return json.loads(Path(path).read_bytes())
    except (ValueError, RecursionError, OSError) as error:  # ValueError: JSON's and Unicode's
        raise InputError(f"{path}: is not JSON: {first_line(error)}") from error


def read_text(path: Path) -> str:
    """The text of a file in UTF-8.

    Raises:
        InputError: it is not.
    """
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not text in UTF-8: {error}") from error


def json_number(value) -> float | None:
    """Round to seven digits. None for NaN, which the hosts give for undefined metrics."""
    return None if math.isnan(value) else float(f"{value:.7g}")


def cache_folder() -> Path:
    """Where fetched files are kept.

    ``$MIXNET_DENSE_CACHE``, else ``$XDG_CACHE_HOME/mixnet_dense`` or ``~/.cache/mixnet_dense``.
    """
    default = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "mixnet_dense")
    return Path(os.environ.get("MIXNET_DENSE_CACHE") or default).expanduser()
