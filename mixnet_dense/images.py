"""Find, read and resize the user's images, and name the pictures that are drawn of them."""

import base64
import glob
from collections.abc import Sequence
from pathlib import Path

import cv2
import mmcv
import numpy as np
from PIL import Image

from mixnet_dense.errors import InputError

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}
MOST_PIXELS = 2 * (Image.MAX_IMAGE_PIXELS or 0)  # of an image; Pillow refuses more
ERRORS = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)  # of Pillow
VIDEO_SUFFIXES = {".mp4", ".avi", ".mov", ".mkv", ".webm"}


def is_video(source: str) -> bool:
    """Whether an argument names a video file, or a camera by its number."""
    return source.isdigit() or Path(source).suffix.lower() in VIDEO_SUFFIXES


def find_images(patterns: Sequence[str]) -> list[Path]:
    """List files, images in folders and matches of globs, in order, each once.

    Raises:
        InputError: a path that does not exist, or a folder or glob without an image.
    """
    found = []
    for pattern in patterns:
        path = Path(pattern)
        if path.is_dir():
            images = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES)
        else:
            names = [pattern] if path.is_file() else sorted(glob.glob(pattern, recursive=True))
            images = [Path(name) for name in names if Path(name).is_file()]
        if not images:
            kinds = ", ".join(sorted(SUFFIXES))
            raise InputError(f"{pattern}: no image there (files, folders or globs of {kinds})")
        found.extend(images)
    return list(dict.fromkeys(found))


def picture_names(images: Sequence[Path], out: Path) -> dict[Path, Path]:
    """The path of each picture: the image's name, numbered if two images share a stem.

    Formats that cannot be written here become PNG.

    Raises:
        InputError: a picture would overwrite one of the images.
    """
    names, used = {}, set()
    for path in images:
        stem, number = path.stem, 1
        while stem in used:
            number += 1
            stem = f"{path.stem}_{number}"
        used.add(stem)
        suffix = path.suffix if path.suffix.lower() in SUFFIXES else ".png"
        names[path] = out / f"{stem}{suffix}"
    given = {path.resolve() for path in images}
    for picture in names.values():
        for written in (picture, mask_name(picture)):
            if written.resolve() in given:
                raise InputError(f"--out {out}: would replace the image {written}")
    return names


def mask_name(picture: Path) -> Path:
    """The path of a picture's label map."""
    return picture.parent / "masks" / f"{picture.stem}.png"


def fault(path: Path) -> str:
    """What is wrong with an image file, from its kind, size and header; '' if nothing is.

    No pixel is decoded, and a named pipe is not opened.
    """
    if not path.is_file():
        return "is no file"
    if not path.stat().st_size:
        return "is empty, not a readable image"
    try:
        with Image.open(path) as image:
            image.size  # noqa: B018
    except Image.DecompressionBombError:
        return f"has more pixels than {MOST_PIXELS}"
    except ERRORS:
        return "is not a readable image"
    return ""


def read_image(path: Path) -> np.ndarray | str:
    """Pixels (H, W, 3), BGR, or what is wrong with the file."""
    if wrong := fault(path):
        return wrong
    try:
        image = mmcv.imread(str(path))
    except (cv2.error, OSError):
        image = None
    return "is not a readable image" if image is None else image


def read_images(paths: Sequence[Path]) -> list[np.ndarray]:
    """Images (H, W, 3), BGR; one that cannot be read is an InputError."""
    found = [read_image(path) for path in paths]
    for path, image in zip(paths, found, strict=True):
        if isinstance(image, str):
            raise InputError(f"'{path}': {image}")
    return found


def data_uri(content: bytes, kind: str) -> str:
    """An image file's content as an address that needs no other file."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def opencv_resize(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """An image (H, W, C) stretched to (height, width, C) as mmcv does, of the same type."""
    return cv2.resize(image, (width, height))


def tensorflow_resize(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """An image (H, W, C) of any type stretched to (height, width, C) float32, not rounded.

    The bilinear of TensorFlow 1: pixel x of the result is read at ``x * W / width`` of the image,
    without aligned corners and without an offset of half a pixel.
    """
    low, high, part = _places(image.shape[0], height)
    part = part[:, None, None]
    rows = image[low] * (1 - part) + image[high] * part
    low, high, part = _places(image.shape[1], width)
    part = part[:, None]
    return rows[:, low] * (1 - part) + rows[:, high] * part


def _places(old: int, new: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each new pixel its two old neighbours, and its distance from the first of them."""
    place = np.arange(new, dtype=np.float32) * np.float32(old / new)
    low = place.astype(np.int64)
    return low, np.minimum(low + 1, old - 1), place - low.astype(np.float32)


RESIZES = {"Resize": opencv_resize, "TensorFlowResize": tensorflow_resize}
"""What the transforms of these names do to an image."""
