"""Label maps: images whose pixel values are class numbers."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

_ERRORS = (OSError, SyntaxError, Image.DecompressionBombError)  # of Pillow, for broken files


class Fault(NamedTuple):
    """What is wrong with a file: a few words to count by, and a line that names it."""

    kind: str
    message: str


def pair_fault(image: Path, labels: Path, allowed: np.ndarray, whole: bool) -> Fault | None:
    """Return what is wrong with an image and its label map, None if nothing is.

    Args:
        image: its size is compared.
        labels: read whole.
        allowed: which values its pixels may have, (256,) bool.
        whole: see that the image, a PNG, is not cut short or damaged; else its header only.
    """
    for path, other in ((image, labels), (labels, image)):
        if not path.is_file():
            found = f", but {other.name} is" if other.is_file() else ""
            return Fault("missing", f"{path}: not there{found}")
    path = image
    try:
        size = _image_size(path, whole)
        path = labels
        values = read_label(path)
    except ValueError as error:
        return Fault("unreadable", f"{path}: {error}")
    if values.shape[::-1] != size:
        found = "{} x {}".format(*values.shape[::-1])
        return Fault("of another size", f"{path}: is {found}, its image is {size[0]} x {size[1]}")
    counts = np.bincount(values.ravel(), minlength=256)
    outside = np.flatnonzero(np.where(allowed, 0, counts)).tolist()
    if outside:
        text = f"{path}: has the label ids {outside[:6]}, allowed are {_ranges(allowed)}"
        return Fault("with wrong label ids", text)
    return None


def read_label(path: Path) -> np.ndarray:
    """Return a label map's values, (h, w) uint8; of a palette image the indices.

    Raises:
        ValueError: not a readable image, or one with more than a channel of 8 bits; the
            message does not name the file.
    """
    _image_size(path, whole=True)
    try:
        with Image.open(path) as image:
            if image.mode not in ("L", "P"):
                raise ValueError(f"is {image.mode}, must be one channel of 8 bits")
            return np.asarray(image)
    except _ERRORS as error:
        raise ValueError("is not a readable image") from error


def _image_size(path: Path, whole: bool) -> tuple[int, int]:
    """Return (width, height); ``whole`` checks a PNG's checksums to its end."""
    try:
        with Image.open(path) as image:
            size = image.size
            if whole:
                image.verify()
    except _ERRORS as error:
        raise ValueError("is not a readable image") from error
    return size


def _ranges(allowed: Sequence[bool]) -> str:
    """``'0 to 18 and 255'``."""
    numbers = np.flatnonzero(allowed)
    runs = np.split(numbers, np.flatnonzero(np.diff(numbers) > 1) + 1)
    texts = [f"{run[0]} to {run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs]
    return " and ".join(texts)
