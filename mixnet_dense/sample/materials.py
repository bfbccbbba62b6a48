"""What the embedded sample is made of: photos, coins and digits read from their files."""

from functools import cache
from typing import Any, NamedTuple

import cv2
import numpy as np
from PIL import Image

from mixnet_dense.sample.sources import CLASSES, DIGITS, SOURCES, SPLITS, Source, source_path

_PHOTO_LONGEST_SIDE = 720  # pixels; the retina scan is far larger than a crop can show


class Digit(NamedTuple):
    """One handwritten digit, enlarged; ``source`` is, for example, ``digit 17``.

    ``ink`` is (104, 104) uint8, 255 where there is ink. ``distance`` is the same shape,
    float32: pixels from the nearest ink, 0 on the ink.
    """

    source: str
    ink: np.ndarray
    distance: np.ndarray


class Coin(NamedTuple):
    """One coin: ``gray`` (h, w) uint8 stretched to 0-255 and ``alpha`` (h, w) uint8."""

    source: str
    gray: np.ndarray
    alpha: np.ndarray


Materials = dict[str, list[Any]]
"""What one split is made of: the `Coin` and `Digit` objects of each category, and under
``photo`` tuples of a file name and pixels (h, w, 3) uint8 in BGR order."""


@cache
def load_materials() -> dict[str, Materials]:
    """Read all sources, once per process, and return the materials of each split.

    Raises:
        InputError: scikit-learn or scikit-image is not installed.
    """
    materials = {split: {name: [] for name in ("photo", *CLASSES)} for split in SPLITS}
    for source in SOURCES:
        if source.use in SPLITS:
            materials[source.use]["photo"].append(_read_photo(source))
    from sklearn.datasets import load_digits

    table = load_digits()
    for index, (digit, image) in enumerate(zip(table.target, table.images, strict=True)):
        if digit in DIGITS:
            # The last fifth of the file is mostly by other writers.
            split = "train" if index < int(0.8 * len(table.target)) else "val"
            materials[split][DIGITS[digit]].append(_enlarge(index, image))
    scan = _read_image(next(source for source in SOURCES if source.use == "coins"), "L")
    for index, coin in enumerate(cut_coins(scan)):
        materials["val" if index % 3 == 2 else "train"]["coin"].append(coin)
    return materials


def cut_coins(scan: np.ndarray) -> list[Coin]:
    """Cut the coins out of the museum's scan (h, w) uint8, in reading order.

    The cloth under the coins is darker at the bottom than at the top. A first pass finds the
    coins: they are brighter than the cloth, which a wide morphological opening estimates. Then
    the cloth between them is blurred over their places, and all brighter pixels are coins.
    """
    smooth = cv2.GaussianBlur(scan, (0, 0), 1.2).astype(np.float32)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (75, 75))
    first = _hulls(smooth - cv2.morphologyEx(smooth, cv2.MORPH_OPEN, kernel) > 56)
    cloth = cv2.drawContours(np.ones_like(smooth), first, -1, 0, cv2.FILLED)
    cloth = cv2.erode(cloth, np.ones((9, 9), np.uint8))
    weight = cv2.GaussianBlur(cloth, (0, 0), 8) + 1e-6
    hulls = _hulls(smooth - cv2.GaussianBlur(smooth * cloth, (0, 0), 8) / weight > 30)
    # Vertices are (x, y); the rows of coins are 78 pixels high.
    hulls.sort(key=lambda hull: (hull[..., 1].mean() // 78, hull[..., 0].mean()))
    return [_cut_coin(scan, hull, index) for index, hull in enumerate(hulls)]


def _hulls(mask: np.ndarray) -> list[np.ndarray]:
    """Return the convex hull of each piece of the mask (h, w) bool, without gaps and specks."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
    tidy = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, kernel)
    tidy = cv2.morphologyEx(tidy, cv2.MORPH_OPEN, kernel)
    contours, _ = cv2.findContours(tidy, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return [cv2.convexHull(contour) for contour in contours]


def _cut_coin(scan: np.ndarray, hull: np.ndarray, index: int) -> Coin:
    left, top, width, height = cv2.boundingRect(hull)
    window = np.s_[top - 2 : top + height + 2, left - 2 : left + width + 2]
    mask = cv2.drawContours(np.zeros_like(scan), [hull], -1, 255, cv2.FILLED)
    # The outermost pixel mixes coin and cloth: leave it out and soften the new edge.
    mask = cv2.GaussianBlur(cv2.erode(mask, np.ones((3, 3), np.uint8)), (3, 3), 0)[window]
    gray = scan[window].astype(np.float32)
    low, high = np.percentile(gray[mask > 128], (2, 98))
    stretched = np.clip((gray - low) * (255 / (high - low)), 0, 255)
    return Coin(f"coin {index}", stretched.astype(np.uint8), mask.copy())


def _enlarge(index: int, image: np.ndarray) -> Digit:
    """Turn an 8x8 digit with values 0-16 into crisp ink with a margin."""
    # The power raises faint strokes: without it one zero in ten has a gap in its ring.
    padded = np.pad((image.astype(np.float32) / 16) ** 0.7, 2)
    large = cv2.resize(padded, None, fx=8, fy=8, interpolation=cv2.INTER_CUBIC)
    large = np.pad(cv2.GaussianBlur(large, (0, 0), 1.6), 4)
    ink = np.clip((large - 0.44) * 6 + 0.5, 0, 1)
    distance = cv2.distanceTransform((ink < 0.5).astype(np.uint8), cv2.DIST_L2, 5)
    return Digit(f"digit {index}", (ink * 255).astype(np.uint8), distance)


def _read_photo(source: Source) -> tuple[str, np.ndarray]:
    pixels = _read_image(source, "RGB")[:, :, ::-1]
    shrink = _PHOTO_LONGEST_SIDE / max(pixels.shape)
    if shrink < 1:
        pixels = cv2.resize(pixels, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    return source.file.split("/")[-1], np.ascontiguousarray(pixels)


def _read_image(source: Source, mode: str) -> np.ndarray:
    # Pillow, because OpenCV prints a warning about the colour profile in one of the files.
    with Image.open(source_path(source)) as picture:
        return np.asarray(picture.convert(mode))
