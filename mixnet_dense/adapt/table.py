"""A table of latencies as a file: a CSV of `COLUMNS`, a row for each piece of networks.

It has what the piece is (see `names`), its input size, threads, runtime, device and milliseconds.
"""

import csv
import math
from pathlib import Path

from mixnet_dense.errors import InputError
from mixnet_dense.files import read_text, written_whole

COLUMNS = ("piece", "size", "threads", "runtime", "device", "ms")
DIGITS = ".6g"  # of the milliseconds

Key = tuple[str, str, str, str, str]
"""A row of the table without its milliseconds, as text."""


def read_table(path: str | Path) -> dict[Key, float]:
    """The rows of a table; none if there is no such file.

    Raises:
        InputError: other columns, a row whose ``ms`` is not a positive number, or two of a piece.
    """
    if not Path(path).exists():
        return {}
    if not Path(path).is_file():
        raise InputError(f"{path}: must be a file")
    text = read_text(Path(path)).removeprefix("\ufeff")  # Excel writes one
    rows = csv.reader(text.splitlines())
    try:
        listed = [row for row in rows if row]
    except csv.Error as error:
        raise InputError(f"{path}: is not CSV: {error}") from error
    if not listed or tuple(listed[0]) != COLUMNS:
        raise InputError(f"{path}: its first line must be {','.join(COLUMNS)}")
    found = {}
    for number, row in enumerate(listed[1:], 1):
        try:
            value = float(row[-1])
        except ValueError:
            value = math.nan
        if len(row) != len(COLUMNS) or not 0 < value < math.inf:
            raise InputError(f"{path}: row {number}: must have {', '.join(COLUMNS)}, ms above 0")
        if found.setdefault(tuple(row[:-1]), value) != value:
            raise InputError(f"{path}: row {number}: is there already, with other ms")
    return found


def write_table(path: str | Path, table: dict[Key, float]) -> None:
    """Write a table, completely or not at all; see `files.written_whole`."""
    with written_whole(path) as partial, open(partial, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows((*key, f"{ms:{DIGITS}}") for key, ms in table.items())
