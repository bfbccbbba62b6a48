"""Label maps: images whose pixel values are class numbers."""

from pathlib import Path

import numpy as np
from PIL import Image

from mixnet_dense.errors import InputError
from mixnet_dense.images import ERRORS, fault


def read_labels(image: Path, labels: Path, allowed: np.ndarray, whole: bool) -> np.ndarray:
    """Return the values (h, w) uint8 of an image's label map; of a palette image the indices.

    Args:
        image: must have the size of the label map.
        labels: the label map.
        allowed: which values its pixels may have, (256,) bool.
        whole: whether to check the whole image file, a PNG, or only its header.

    Raises:
        InputError: a file is missing or broken, the sizes differ, or the label map has more
            than one channel of 8 bits or a value that is not allowed.
    """
    for path, other in ((image, labels), (labels, image)):
        if not path.is_file():
            raise InputError(f"{path}: not there" + f", but {other.name} is" * other.is_file())
    width, height = _open(image, whole).size
    found = _open(labels, whole=True)
    if found.mode not in ("L", "P"):
        raise InputError(f"{labels}: is {found.mode}, must be one channel of 8 bits")
    if found.size != (width, height):
        size = "{} x {}".format(*found.size)
        raise InputError(f"{labels}: is {size}, its image is {width} x {height}")
    values = np.asarray(found)
    wrong = np.flatnonzero(np.bincount(values.ravel(), minlength=256) * ~allowed).tolist()
    if wrong:
        raise InputError(f"{labels}: has the label ids {wrong[:6]}, allowed are {_ranges(allowed)}")
    return values


def _open(path: Path, whole: bool) -> Image.Image:
    """Open and close an image; ``whole`` also checks a PNG's checksums and loads it."""
    if wrong := fault(path):
        raise InputError(f"{path}: {wrong}")
    try:
        if whole:
            with Image.open(path) as image:
                image.verify()
        with Image.open(path) as image:
            if whole:
                image.load()
            return image
    except ERRORS as error:
        raise InputError(f"{path}: is not a readable image") from error


def _ranges(allowed: np.ndarray) -> str:
    """``'0 to 18 and 255'``."""
    numbers = np.flatnonzero(allowed)
    runs = np.split(numbers, np.flatnonzero(np.diff(numbers) > 1) + 1)
    return " and ".join(f"{run[0]} to {run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)
