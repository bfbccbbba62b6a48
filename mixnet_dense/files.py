"""Result files: their place is checked before the work, and they are written whole."""

import json
import math
import tempfile
from pathlib import Path

from mixnet_dense.errors import InputError


def check_writable(path: str) -> None:
    """Make the folder of ``path`` and see that a file can be written there."""
    folder = Path(path).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):  # permissions do not tell of all reasons
            pass
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from error
    if Path(path).is_dir():
        raise InputError(f"{path}: cannot be written")


def write_json(path: str, content) -> None:
    """Write JSON whole or not at all."""
    partial = Path(f"{path}.partial")
    partial.write_text(json.dumps(content, indent=1, allow_nan=False), encoding="utf-8")
    partial.replace(path)


def json_number(value) -> float | None:
    """Seven digits, and None for NaN: how the hosts say that a class has nothing to count."""
    return None if math.isnan(value) else float(f"{value:.7g}")
