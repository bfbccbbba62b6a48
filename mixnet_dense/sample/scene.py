"""Composing one scene of the embedded sample: a photo with coins and stickers on it."""

from typing import NamedTuple

import cv2
import numpy as np

from mixnet_dense.sample.materials import CLASSES, SAMPLE_SPLITS, Materials, load_materials
from mixnet_dense.sample.objects import Cutout, draw_cutout

IMAGE_SIZES = ((256, 256), (256, 192), (192, 256), (288, 224), (224, 288))  # width, height
OBJECT_COUNT_SHARES = (0.2, 0.27, 0.25, 0.17, 0.11)  # of 1, 2, ... objects
SIZE_RANGE = (0.18, 0.60)  # longest side of an object, of the shorter image side
HEAP_SIZE_RANGE = (0.15, 0.23)
HEAP_COUNT_RANGE = (11, 17)
LEAST_VISIBLE = 0.6  # share of an object's full mask; below that digits are hard to tell
LEAST_VISIBLE_HEAP = 0.8  # a heap with less of it in sight would not look like a heap
_PLACE_ATTEMPTS = 15
_BORDER = 64  # pixels of canvas around the image, for objects that leave it in part
_IMAGE = np.s_[_BORDER:-_BORDER, _BORDER:-_BORDER]


class SceneObject(NamedTuple):
    """One annotated thing."""

    category: str
    source: str
    mask: np.ndarray  # (h, w) bool, what is visible of it
    full_area: int  # pixels, if nothing hid it and the border of the image cut nothing off
    is_crowd: bool = False  # a heap of things of one category


class Scene(NamedTuple):
    """An image and what is on it."""

    image: np.ndarray  # (h, w, 3) uint8 BGR
    background: str  # the file name of its photo
    objects: list[SceneObject]


def compose_scene(seed: int, split: str, index: int) -> Scene:
    """Compose image ``index`` of ``split``; the same numbers always give the same scene."""
    rng = np.random.default_rng([seed, SAMPLE_SPLITS.index(split), index])
    materials = load_materials()[split]
    name, photo = materials["photo"][rng.integers(len(materials["photo"]))]
    image = _crop(photo, IMAGE_SIZES[rng.integers(len(IMAGE_SIZES))], rng)
    canvas = cv2.copyMakeBorder(image, *[_BORDER] * 4, cv2.BORDER_CONSTANT)
    is_empty, has_heap = index % 16 == 5, index % 20 == 7  # never both
    objects = [_pour_heap(canvas, materials, rng)] if has_heap else []
    wanted = 1 + int(rng.choice(len(OBJECT_COUNT_SHARES), p=OBJECT_COUNT_SHARES))
    for _ in range(0 if is_empty else min(wanted, 2) if has_heap else wanted):
        category = CLASSES[rng.integers(len(CLASSES))]
        objects = _add_object(canvas, objects, draw_cutout(category, materials, rng), rng)
    return Scene(canvas[_IMAGE], name, objects)


def _crop(photo: np.ndarray, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Return a random piece of ``photo``, recoloured, with ``size`` (width, height) pixels."""
    width, height = size
    photo_height, photo_width = photo.shape[:2]
    scale = min(rng.uniform(0.8, 1.7), photo_width / width, photo_height / height)
    crop_width, crop_height = int(width * scale), int(height * scale)
    left = rng.integers(photo_width - crop_width + 1)
    top = rng.integers(photo_height - crop_height + 1)
    crop = photo[top : top + crop_height, left : left + crop_width]
    if rng.random() < 0.5:
        crop = cv2.flip(crop, 1)
    crop = cv2.resize(crop, size, interpolation=cv2.INTER_AREA if scale > 1 else cv2.INTER_LINEAR)
    gain = rng.uniform(0.65, 1.15) * rng.uniform(0.88, 1.12, 3)
    levels = np.arange(256)[:, None] * gain + rng.uniform(-12, 18)
    return cv2.LUT(crop, np.clip(levels, 0, 255).astype(np.uint8)[None])


def _add_object(
    canvas: np.ndarray, objects: list[SceneObject], cutout: Cutout, rng: np.random.Generator
) -> list[SceneObject]:
    """Paint ``cutout`` on ``canvas`` and return the objects with updated visible masks.

    Later objects lie on top of earlier ones. If a place would hide too much of any object,
    another place is tried with a smaller object. If no place is found, the scene stays as it
    is. Up to an eighth of the object may leave the image.
    """
    sides = np.array(canvas[_IMAGE].shape[1::-1])  # width, height
    low, high = SIZE_RANGE
    share = low + (high - low) * rng.beta(2.0, 1.5)
    for _ in range(_PLACE_ATTEMPTS):
        turned = _turn(cutout, share * sides.min(), rng)
        own = np.array(turned.alpha.shape[::-1])
        outside = (own * 0.12).astype(int)
        corner = rng.integers(-outside, sides - own + outside + 1)
        mask = np.zeros(canvas.shape[:2], bool)
        mask[_window(turned, corner)] = turned.alpha > 127
        area = np.count_nonzero(mask)
        added = SceneObject(cutout.category, cutout.source, mask[_IMAGE], area)
        updated = [*(_behind(below, added.mask) for below in objects), added]
        if all(map(_is_visible_enough, updated)):
            _paint(canvas, turned, corner, rng)
            return updated
        share = max(low, share * 0.93)
    return objects


def _is_visible_enough(scene_object: SceneObject) -> bool:
    least = LEAST_VISIBLE_HEAP if scene_object.is_crowd else LEAST_VISIBLE
    return np.count_nonzero(scene_object.mask) / scene_object.full_area >= least


def _behind(scene_object: SceneObject, front: np.ndarray) -> SceneObject:
    """Return the object without what the mask ``front`` hides.

    Pieces smaller than 4 % of what is left go too: slivers at the edge of an overlap.
    """
    if not (scene_object.mask & front).any():
        return scene_object
    left = (scene_object.mask & ~front).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(left)
    keep = stats[:, cv2.CC_STAT_AREA] >= 0.04 * np.count_nonzero(left)
    keep[0] = False
    return scene_object._replace(mask=keep[labels])


def _turn(cutout: Cutout, longest_side: float, rng: np.random.Generator) -> Cutout:
    """Rotate and stretch a cutout so that its longest side is ``longest_side`` pixels."""
    # Digits stay upright, so that they can be read.
    limit, stretches = (180.0, (0.9, 1.1)) if cutout.category == "coin" else (20.0, (1.0, 1.3))
    angle = np.deg2rad(rng.uniform(-limit, limit))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turn = turn @ np.diag([rng.uniform(*stretches), 1.0])
    rows, columns = np.nonzero(cutout.alpha[::2, ::2] > 127)
    corners = turn @ (2 * np.stack([columns, rows]))
    scale = longest_side / np.ptp(corners, axis=1).max()
    parts = [cutout.color, cutout.alpha]
    if scale < 0.75:
        # Shrinking by averaging first keeps thin ink lines; warpAffine alone would skip them.
        area = dict(dsize=None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        parts = [cv2.resize(part, **area) for part in parts]
    factor = parts[1].shape[1] / cutout.alpha.shape[1]
    origin = np.floor(corners.min(axis=1) * scale) - 2
    size = np.ceil(corners.max(axis=1) * scale - origin).astype(int) + 3
    matrix = np.column_stack([turn * (scale / factor), -origin])
    color, alpha = (cv2.warpAffine(part, matrix, size.tolist()) for part in parts)
    return cutout._replace(color=color, alpha=alpha)


def _window(cutout: Cutout, corner: np.ndarray) -> tuple[slice, slice]:
    """Return the rows and columns of the canvas that a cutout at (x, y) of the image covers."""
    left, top = corner + _BORDER
    return np.s_[top : top + cutout.alpha.shape[0], left : left + cutout.alpha.shape[1]]


def _paint(
    canvas: np.ndarray, cutout: Cutout, corner: np.ndarray, rng: np.random.Generator
) -> None:
    """Blend a cutout into ``canvas`` in place, often over a soft shadow."""
    if rng.random() < 0.7:
        reach = max(2, max(cutout.alpha.shape) // 16)
        shadow = _window(cutout, corner + rng.integers((-reach, 1), reach + 1))
        soft = cv2.GaussianBlur(cutout.alpha, (0, 0), 0.6 * reach).astype(np.float32)
        dim = 1 - soft * (rng.uniform(0.25, 0.6) / 255)
        canvas[shadow] = canvas[shadow] * dim[..., None]
    cover = (cutout.alpha.astype(np.float32) / 255)[..., None]
    window = _window(cutout, corner)
    canvas[window] = canvas[window] * (1 - cover) + cutout.color * cover + 0.5


def _pour_heap(canvas: np.ndarray, materials: Materials, rng: np.random.Generator) -> SceneObject:
    """Paint a heap of small things of one class and return it as one crowd object."""
    sides = np.array(canvas[_IMAGE].shape[1::-1])  # width, height
    category = CLASSES[rng.integers(len(CLASSES))]
    mask = np.zeros(canvas.shape[:2], bool)
    count = int(rng.integers(*HEAP_COUNT_RANGE))
    center = rng.uniform(0.35, 0.65, 2) * sides
    sources = []
    for number in range(count):
        cutout = draw_cutout(category, materials, rng)
        turned = _turn(cutout, rng.uniform(*HEAP_SIZE_RANGE) * sides.min(), rng)
        # A sunflower spiral spreads the pieces: each overlaps its neighbours, none is buried.
        angle = number * 2.4 + rng.uniform(-0.3, 0.3)
        spot = center + 0.07 * sides.min() * number**0.5 * np.array([np.cos(angle), np.sin(angle)])
        corner = (spot - np.array(turned.alpha.shape[::-1]) / 2).astype(int)
        _paint(canvas, turned, corner, rng)
        mask[_window(turned, corner)] |= turned.alpha > 127
        sources.append(cutout.source)
    visible = mask[_IMAGE]
    return SceneObject(category, ", ".join(sources), visible, np.count_nonzero(visible), True)
