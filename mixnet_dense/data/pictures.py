"""What the header of an image file tells, and whether the whole file can be decoded."""

import hashlib
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from mixnet_dense.images import ERRORS

_ORIENTATION = 0x0112  # EXIF's tag; the values from 5 on swap width and height


class Header(NamedTuple):
    """``size``: (width, height) in pixels as training sees the image, that is after EXIF's turn.

    ``mode`` is Pillow's, ``turned`` whether EXIF turns or mirrors the image.
    """

    size: tuple[int, int]
    mode: str
    turned: bool


def header(path: Path, whole: bool = False) -> Header | str:
    """An image's header, or what is wrong with the file.

    Args:
        path: an existing file.
        whole: decode all pixels too, which finds a file that is cut off.
    """
    problem = "not readable as an image"
    try:
        with Image.open(path) as image:
            found = image.getexif().get(_ORIENTATION, 1)
            width, height = image.size
            if whole:
                problem = "cut off or broken in the middle"
                image.load()
    except Image.DecompressionBombError:
        return "image of too many pixels"
    except ERRORS:
        return problem
    size = (height, width) if found in (5, 6, 7, 8) else (width, height)
    return Header(size, image.mode, found in range(2, 9))


def content_key(path: Path, seed: str = "") -> str:
    """A hash of a file's content; equal files have equal hashes, whatever their names."""
    return hashlib.blake2b(path.read_bytes(), key=seed.encode()).hexdigest()
