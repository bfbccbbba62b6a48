"""Raw material of the embedded sample: digits, coins and photos read from their files."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from mixnet_dense.data.sample_sources import (
    CLASSES,
    COIN_COUNT,
    DIGIT_NAMES,
    SOURCES,
    SPLITS,
    Source,
    coin_split,
    digit_split,
    package_folders,
)
from mixnet_dense.errors import InputError

INK_SIDE = 104  # pixels of an enlarged digit with its margin
_PHOTO_LONGEST_SIDE = 720  # pixels; the retina scan is far larger than a crop can show


@dataclass(frozen=True)
class Digit:
    """One handwritten digit, enlarged.

    ``ink`` is (INK_SIDE, INK_SIDE) uint8, 255 where there is ink. ``distance`` is the same
    shape, float32: pixels from the nearest ink, 0 on the ink.
    """

    name: str
    source_index: int
    ink: np.ndarray
    distance: np.ndarray


@dataclass(frozen=True)
class Coin:
    """One coin: ``gray`` (h, w) uint8 stretched to 0-255 and ``alpha`` (h, w) uint8."""

    source_index: int
    gray: np.ndarray
    alpha: np.ndarray


@dataclass(frozen=True)
class Photo:
    """One background: file ``name`` and ``pixels`` (h, w, 3) uint8 in BGR order."""

    name: str
    pixels: np.ndarray


@dataclass(frozen=True)
class Materials:
    """What the scenes of one split are made of."""

    digits: dict[str, tuple[Digit, ...]]
    coins: tuple[Coin, ...]
    photos: tuple[Photo, ...]


def load_materials() -> dict[str, Materials]:
    """Read all sources and return the materials of ``train`` and ``val``."""
    folders = package_folders()
    digits = load_digits()
    coins = cut_coins(_read_image(_source_path(folders, "coins"), "L"))
    return {
        split: Materials(
            digits={name: _only(digits, name, split) for name in CLASSES if name != "coin"},
            coins=tuple(coin for coin in coins if coin_split(coin.source_index) == split),
            photos=tuple(
                _load_photo(source, folders[source.package])
                for source in SOURCES
                if source.role == "background" and source.split == split
            ),
        )
        for split in SPLITS
    }


def load_digits() -> list[tuple[str, Digit]]:
    """Return (split, digit) for every digit of scikit-learn whose name is a class."""
    from sklearn.datasets import load_digits as load_table

    table = load_table()
    total = len(table.target)
    return [
        (digit_split(index, total), _enlarge(DIGIT_NAMES[label], index, table.images[index]))
        for index, label in enumerate(table.target)
        if DIGIT_NAMES[label] in CLASSES
    ]


def cut_coins(scan: np.ndarray) -> list[Coin]:
    """Cut the coins out of the museum's scan (h, w) uint8, in reading order.

    The cloth behind the coins is darker at the bottom than at the top, so each coin is
    separated from the cloth next to it: a coarse pass finds the coins, then the cloth
    seen between them is spread under them and `_refine` finds each exact edge.
    """
    smooth = cv2.GaussianBlur(scan, (0, 0), 1.2).astype(np.float32)
    coarse = _coarse_outlines(smooth)
    if len(coarse) != COIN_COUNT:
        raise InputError(
            f"coins.png of the installed scikit-image shows {len(coarse)} coins, "
            f"{COIN_COUNT} expected; reinstall scikit-image"
        )
    owners = np.zeros(scan.shape, np.uint8)
    for number, outline in enumerate(coarse, start=1):
        cv2.drawContours(owners, [outline], -1, number, cv2.FILLED)
    free = (cv2.dilate(owners, np.ones((9, 9), np.uint8)) == 0).astype(np.float32)
    weight = cv2.GaussianBlur(free, (0, 0), 8) + 1e-6
    above_cloth = smooth - cv2.GaussianBlur(smooth * free, (0, 0), 8) / weight
    return [
        _cut_coin(scan, _refine(above_cloth, owners, index + 1), index)
        for index in range(COIN_COUNT)
    ]


def _coarse_outlines(smooth: np.ndarray) -> list[np.ndarray]:
    """Return the hulls of the bright discs of ``smooth`` (h, w) float32, row by row."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (75, 75))
    bright = smooth - cv2.morphologyEx(smooth, cv2.MORPH_OPEN, kernel) > 56
    contours, _ = cv2.findContours(_tidy(bright), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    hulls = [cv2.convexHull(contour) for contour in contours]
    hulls = [hull for hull in hulls if 700 < cv2.contourArea(hull) < 4500]

    def reading_order(hull: np.ndarray) -> tuple[int, int]:
        left, top, width, height = cv2.boundingRect(hull)
        return (top + height // 2) // 78, left + width // 2

    return sorted(hulls, key=reading_order)


def _refine(above_cloth: np.ndarray, owners: np.ndarray, number: int) -> np.ndarray:
    """Return the hull of coin ``number``, looking only near its coarse outline.

    ``above_cloth`` (h, w) float32 is the brightness above the cloth; ``owners`` (h, w)
    uint8 holds the number of the coin found by the coarse pass, or 0.
    """
    near = cv2.dilate((owners == number).astype(np.uint8), np.ones((11, 11), np.uint8)) > 0
    mine = near & ((owners == number) | (owners == 0)) & (above_cloth > 30)
    contours, _ = cv2.findContours(_tidy(mine), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return cv2.convexHull(max(contours, key=cv2.contourArea))


def _tidy(mask: np.ndarray) -> np.ndarray:
    """Close small gaps in ``mask`` (h, w) bool, drop small specks, return uint8."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
    closed = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, kernel)
    return cv2.morphologyEx(closed, cv2.MORPH_OPEN, kernel)


def _cut_coin(scan: np.ndarray, outline: np.ndarray, index: int) -> Coin:
    left, top, width, height = cv2.boundingRect(outline)
    window = (slice(max(top - 2, 0), top + height + 2), slice(max(left - 2, 0), left + width + 2))
    mask = np.zeros(scan.shape, np.uint8)
    cv2.drawContours(mask, [outline], -1, 255, cv2.FILLED)
    # The outermost pixel mixes coin and cloth: leave it out and soften the new edge.
    mask = cv2.GaussianBlur(cv2.erode(mask, np.ones((3, 3), np.uint8)), (3, 3), 0)
    gray = scan[window].astype(np.float32)
    low, high = np.percentile(gray[mask[window] > 128], (2, 98))
    stretched = np.clip((gray - low) * (255 / (high - low)), 0, 255)
    return Coin(index, stretched.astype(np.uint8), mask[window].copy())


def _enlarge(name: str, index: int, image: np.ndarray) -> Digit:
    """Turn an 8x8 digit with values 0-16 into crisp ink with a margin."""
    # The power raises faint strokes: without it one zero in ten has a gap in its ring.
    padded = np.pad((image.astype(np.float32) / 16) ** 0.7, 2)
    scale = 8
    large = cv2.resize(padded, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    margin = (INK_SIDE - large.shape[0]) // 2
    large = np.pad(cv2.GaussianBlur(large, (0, 0), 1.6), margin)
    ink = np.clip((large - 0.44) * 6 + 0.5, 0, 1)
    distance = cv2.distanceTransform((ink < 0.5).astype(np.uint8), cv2.DIST_L2, 5)
    return Digit(name, index, (ink * 255).astype(np.uint8), distance)


def _only(digits: list[tuple[str, Digit]], name: str, split: str) -> tuple[Digit, ...]:
    return tuple(digit for part, digit in digits if part == split and digit.name == name)


def _source_path(folders: dict[str, Path], role: str) -> Path:
    source = next(source for source in SOURCES if source.role == role)
    return folders[source.package] / source.file


def _load_photo(source: Source, folder: Path) -> Photo:
    pixels = _read_image(folder / source.file, "RGB")[:, :, ::-1]
    shrink = min(1.0, _PHOTO_LONGEST_SIDE / max(pixels.shape))
    if shrink < 1:
        pixels = cv2.resize(pixels, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    return Photo(Path(source.file).name, np.ascontiguousarray(pixels))


def _read_image(path: Path, mode: str) -> np.ndarray:
    # Pillow, because OpenCV prints a warning about the colour profile in one of the files.
    try:
        with Image.open(path) as picture:
            return np.asarray(picture.convert(mode))
    except OSError as error:
        raise InputError(
            f"cannot read {path}: {error}; reinstall with: "
            'pip install --force-reinstall "mixnet_dense[sample]"'
        ) from error
