"""Result files: check early that they can be written, and write them completely. JSON files."""

import json
import math
import tempfile
from collections.abc import Iterable
from pathlib import Path, PurePath

from mixnet_dense.errors import InputError, first_line


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


def write_json(path: str, content) -> None:
    """Write JSON completely or not at all."""
    partial = Path(f"{path}.partial")
    partial.write_text(json.dumps(content, indent=1, allow_nan=False), encoding="utf-8")
    partial.replace(path)


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
