"""Result files: check early that they can be written, and write them completely."""

import json
import math
import tempfile
from pathlib import Path

from mixnet_dense.errors import InputError


def check_writable(path: str) -> None:
    """Create the folder of ``path`` and check that a file can be written there."""
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


def json_number(value) -> float | None:
    """Round to seven digits. None for NaN, which the hosts give for undefined metrics."""
    return None if math.isnan(value) else float(f"{value:.7g}")
