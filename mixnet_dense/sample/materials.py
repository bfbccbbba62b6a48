"""What the embedded sample is made of: photos, coins and digits inside two pip packages.

Nothing is downloaded. `SOURCE_FILES` is the whole list, with the licence of each file. The
licences are those that the packages state (docstrings of ``skimage.data``,
``images/README.txt`` of scikit-learn) and, for the digits, the UCI repository. Files whose
licence is not clearly stated (moon, page, motorcycle, lfw_subset) are not used.
"""

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from PIL import Image

from mixnet_dense.errors import InputError

DIGITS = {0: "zero", 3: "three", 4: "four"}
"""The names of the digits that are used."""

CLASSES = ("coin", *DIGITS.values())
"""Category names in the order of their ids 1, 2, ..."""

SAMPLE_SPLITS = ("train", "val")

LICENCE_URLS = {
    "CC0 1.0": "https://creativecommons.org/publicdomain/zero/1.0/",
    "CC BY 2.0": "https://creativecommons.org/licenses/by/2.0/",
    "CC BY 4.0": "https://creativecommons.org/licenses/by/4.0/",
    "Public domain": "https://creativecommons.org/publicdomain/mark/1.0/",
    "No known copyright restrictions": "https://rightsstatements.org/vocab/NKC/1.0/",
}


class Source(NamedTuple):
    """One file inside an installed package."""

    package: str
    file: str
    use: str  # the split of a background photo; else digits or coins, which are in both splits
    licence: str
    credit: str


SOURCE_FILES = (
    Source("scikit-learn", "data/digits.csv.gz", "digits", "CC BY 4.0",
           "E. Alpaydin, C. Kaynak: Optical Recognition of Handwritten Digits, UCI, 1998"),
    Source("scikit-image", "coins.png", "coins", "No known copyright restrictions",
           "Brooklyn Museum Collection: Greek coins from Pompeii"),
    Source("scikit-image", "astronaut.png", "train", "Public domain", "NASA"),
    Source("scikit-image", "brick.png", "train", "CC0 1.0", "CC0Textures, Bricks25"),
    Source("scikit-image", "camera.png", "train", "CC0 1.0", "Lav Varshney"),
    Source("scikit-image", "chelsea.png", "train", "CC0 1.0", "Stefan van der Walt"),
    Source("scikit-image", "grass.png", "train", "CC0 1.0", "linolafett, DeviantArt"),
    Source("scikit-image", "hubble_deep_field.jpg", "train", "Public domain", "NASA, HubbleSite"),
    Source("scikit-image", "ihc.png", "train", "No known copyright restrictions",
           "Center for Microscopy And Molecular Imaging (CMMI)"),
    Source("scikit-image", "retina.jpg", "train", "CC0 1.0", "Mikael Häggström, 2014"),
    Source("scikit-learn", "images/china.jpg", "train", "CC BY 2.0",
           "danielbuechele, Flickr 6061409035"),
    Source("scikit-image", "coffee.png", "val", "CC0 1.0", "Rachel Michetti"),
    Source("scikit-image", "gravel.png", "val", "CC0 1.0", "CC0Textures, Gravel04"),
    Source("scikit-image", "rocket.jpg", "val", "Public domain", "SpaceX"),
    # The package's README names danielbuechele for this one too, but links to vultilion.
    Source("scikit-learn", "images/flower.jpg", "val", "CC BY 2.0", "vultilion, Flickr 6056698931"),
)  # fmt: skip

_PHOTO_LONGEST_SIDE = 720  # pixels; the retina scan is far larger than a crop can show


class Digit(NamedTuple):
    """One handwritten digit, enlarged."""

    source: str  # such as 'digit 17'
    ink: np.ndarray  # (104, 104) uint8, 255 where there is ink
    distance: np.ndarray  # (104, 104) float32, pixels from the nearest ink


class Coin(NamedTuple):
    """One coin of the museum's scan."""

    source: str  # such as 'coin 3'
    gray: np.ndarray  # (h, w) uint8, stretched to 0-255
    alpha: np.ndarray  # (h, w) uint8


Materials = dict[str, list[Any]]
"""What one split is made of: the `Coin` and `Digit` objects of each category, and under
``photo`` tuples of a file name and pixels (h, w, 3) uint8 in BGR order."""


@cache
def load_materials() -> dict[str, Materials]:
    """Read all sources, once per process, and return the materials of each split."""
    materials = {split: {name: [] for name in ("photo", *CLASSES)} for split in SAMPLE_SPLITS}
    for source in SOURCE_FILES:
        if source.use in SAMPLE_SPLITS:
            materials[source.use]["photo"].append(_read_photo(source))
    from sklearn.datasets import load_digits

    table = load_digits()
    for index, (digit, image) in enumerate(zip(table.target, table.images, strict=True)):
        if digit in DIGITS:
            # The last fifth of the file is mostly by other writers.
            split = "train" if index < int(0.8 * len(table.target)) else "val"
            materials[split][DIGITS[digit]].append(_enlarge(index, image))
    scan = _read_image(next(source for source in SOURCE_FILES if source.use == "coins"), "L")
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


_FOLDERS = {"scikit-image": "skimage.data", "scikit-learn": "sklearn.datasets"}


def source_path(source: Source) -> Path:
    """Return where the file of ``source`` is installed.

    Raises:
        InputError: its package is not installed.
    """
    try:
        return files(_FOLDERS[source.package]) / source.file
    except ImportError as error:
        raise InputError(
            f"the sample needs scikit-learn and scikit-image ({error}); "
            'run: pip install "mixnet_dense[sample]"'
        ) from error
