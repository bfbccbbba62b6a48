"""Composing one scene of the embedded sample: a photo with coins and stickers on it."""

from dataclasses import dataclass

import cv2
import numpy as np

from mixnet_dense.data.sample_materials import Materials, Photo
from mixnet_dense.data.sample_objects import Cutout, draw_cutout
from mixnet_dense.data.sample_sources import CLASSES

IMAGE_SIZES = ((256, 256), (256, 192), (192, 256), (288, 224), (224, 288))  # width, height
OBJECT_COUNT_SHARES = (0.2, 0.27, 0.25, 0.17, 0.11)  # of 1, 2, ... objects
SIZE_RANGE = (0.18, 0.60)  # longest side of an object, of the shorter image side
HEAP_SIZE_RANGE = (0.15, 0.23)
HEAP_COUNT_RANGE = (11, 17)
LEAST_VISIBLE = 0.6  # share of an object's full mask; below that digits are hard to tell
LEAST_VISIBLE_HEAP = 0.8  # a heap with less of it in sight would not look like a heap
DIGIT_ROTATION = 20.0  # degrees to either side
_PLACE_ATTEMPTS = 15


@dataclass(frozen=True)
class SceneObject:
    """One annotated thing: ``mask`` (h, w) bool is what is visible of it.

    ``full_area`` is its size in pixels with nothing in front of it and nothing cut off by
    the image border. A crowd is a heap of things of one category with a single mask.
    """

    category: str
    source: str
    mask: np.ndarray
    full_area: int
    is_crowd: bool = False


@dataclass(frozen=True)
class Scene:
    """``image`` (h, w, 3) uint8 BGR, the file name of its photo, and its objects."""

    image: np.ndarray
    background: str
    objects: tuple[SceneObject, ...]


@dataclass(frozen=True)
class _Patch:
    """A cutout turned and scaled, and the image position (x, y) of its first pixel."""

    color: np.ndarray
    alpha: np.ndarray
    position: tuple[int, int]


def scene_kind(index: int) -> str:
    """Return ``empty`` for 1 of 16 images, ``crowd`` for 1 of 20, else ``objects``."""
    if index % 16 == 5:
        return "empty"
    return "crowd" if index % 20 == 7 else "objects"


def compose_scene(materials: Materials, kind: str, rng: np.random.Generator) -> Scene:
    """Compose one scene of ``kind`` (see `scene_kind`) from ``materials``."""
    photo = materials.photos[rng.integers(len(materials.photos))]
    image = crop_background(photo, IMAGE_SIZES[rng.integers(len(IMAGE_SIZES))], rng)
    objects: list[SceneObject] = []
    if kind == "crowd":
        objects.append(_pour_heap(image, materials, rng))
    wanted = 1 + int(rng.choice(len(OBJECT_COUNT_SHARES), p=OBJECT_COUNT_SHARES))
    most = {"empty": 0, "crowd": 2}.get(kind, wanted)
    for _ in range(min(wanted, most)):
        category = CLASSES[rng.integers(len(CLASSES))]
        objects = _add_object(image, objects, draw_cutout(category, materials, rng), rng)
    return Scene(image, photo.name, tuple(objects))


def crop_background(photo: Photo, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Return a random piece of ``photo`` as (height, width, 3) uint8, ``size`` in pixels."""
    width, height = size
    photo_height, photo_width = photo.pixels.shape[:2]
    scale = min(rng.uniform(0.8, 1.7), photo_width / width, photo_height / height)
    crop_width, crop_height = int(width * scale), int(height * scale)
    left = rng.integers(photo_width - crop_width + 1)
    top = rng.integers(photo_height - crop_height + 1)
    crop = photo.pixels[top : top + crop_height, left : left + crop_width]
    if rng.random() < 0.5:
        crop = crop[:, ::-1]
    smaller = cv2.INTER_AREA if scale > 1 else cv2.INTER_LINEAR
    crop = cv2.resize(np.ascontiguousarray(crop), size, interpolation=smaller)
    gain = rng.uniform(0.65, 1.15) * rng.uniform(0.88, 1.12, 3)
    levels = np.arange(256)[:, None] * gain + rng.uniform(-12, 18)
    return cv2.LUT(crop, np.clip(levels, 0, 255).astype(np.uint8)[None])


def _add_object(
    image: np.ndarray, objects: list[SceneObject], cutout: Cutout, rng: np.random.Generator
) -> list[SceneObject]:
    """Paint ``cutout`` on ``image`` and return the objects with updated visible masks.

    Later objects lie on top of earlier ones. A place that would hide too much of any
    object is drawn again, with a smaller object after every try; when no place is found
    the scene stays as it is.
    """
    shorter = min(image.shape[:2])
    low, high = SIZE_RANGE
    share = low + (high - low) * rng.beta(2.0, 1.5)
    for _ in range(_PLACE_ATTEMPTS):
        patch = _place(_turn(cutout, share * shorter, rng), image.shape[:2], rng)
        mask, full_area = _full_mask(patch, image.shape[:2])
        added = SceneObject(cutout.category, cutout.source, mask, full_area)
        behind = [_behind(scene_object, mask) for scene_object in objects]
        if all(is_visible_enough(scene_object) for scene_object in [*behind, added]):
            _paint(image, patch, rng)
            return [*behind, added]
        share = max(low, share * 0.93)
    return objects


def visible_share(scene_object: SceneObject) -> float:
    """Return the visible share, 0 to 1, of an object's full area."""
    return np.count_nonzero(scene_object.mask) / scene_object.full_area


def is_visible_enough(scene_object: SceneObject) -> bool:
    """Return whether so much of the object is in sight that it may stay in the scene."""
    least = LEAST_VISIBLE_HEAP if scene_object.is_crowd else LEAST_VISIBLE
    return visible_share(scene_object) >= least


def _behind(scene_object: SceneObject, front: np.ndarray) -> SceneObject:
    """Return the object with what the mask ``front`` hides taken out of its mask."""
    if not (scene_object.mask & front).any():
        return scene_object
    return SceneObject(
        scene_object.category,
        scene_object.source,
        _without_crumbs(scene_object.mask & ~front),
        scene_object.full_area,
        scene_object.is_crowd,
    )


def _without_crumbs(mask: np.ndarray) -> np.ndarray:
    """Drop pieces smaller than 4 % of the mask: slivers left at the edge of an overlap."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    keep = stats[:, cv2.CC_STAT_AREA] >= 0.04 * stats[1:, cv2.CC_STAT_AREA].sum()
    keep[0] = False
    return mask if count <= 2 else keep[labels]


def _turn(cutout: Cutout, longest_side: float, rng: np.random.Generator) -> _Patch:
    """Rotate and stretch a cutout so that its longest side is ``longest_side`` pixels."""
    limit = 180.0 if cutout.category == "coin" else DIGIT_ROTATION
    angle = np.deg2rad(rng.uniform(-limit, limit))
    stretch = rng.uniform(0.9, 1.1) if cutout.category == "coin" else rng.uniform(1.0, 1.3)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turn = turn @ np.diag([stretch, 1.0])
    rows, columns = np.nonzero(cutout.alpha[::2, ::2] > 127)
    corners = turn @ (2 * np.stack([columns, rows]))
    scale = longest_side / np.ptp(corners, axis=1).max()
    color, alpha = cutout.color, cutout.alpha
    if scale < 0.75:
        # Shrinking by averaging first keeps thin ink lines; warpAffine alone would skip them.
        color, alpha = (
            cv2.resize(part, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            for part in (color, alpha)
        )
    factor = alpha.shape[1] / cutout.alpha.shape[1]
    origin = np.floor(corners.min(axis=1) * scale) - 2
    size = np.ceil(corners.max(axis=1) * scale - origin).astype(int) + 3
    matrix = np.column_stack([turn * (scale / factor), -origin])
    warped = [
        cv2.warpAffine(part, matrix, tuple(map(int, size)), flags=cv2.INTER_LINEAR)
        for part in (color, alpha)
    ]
    return _Patch(warped[0], warped[1], (0, 0))


def _place(patch: _Patch, shape: tuple[int, int], rng: np.random.Generator) -> _Patch:
    """Move a patch to a random place; up to an eighth of it may leave the image."""
    position = []
    for image_side, patch_side in zip(shape[::-1], patch.alpha.shape[::-1], strict=True):
        outside = int(patch_side * 0.12)
        position.append(int(rng.integers(-outside, image_side - patch_side + outside + 1)))
    return _Patch(patch.color, patch.alpha, (position[0], position[1]))


def _windows(
    patch: _Patch, shape: tuple[int, int], shift: tuple[int, int] = (0, 0)
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return the overlapping windows of image and patch, the patch moved by ``shift``."""
    image_window, patch_window = [], []
    starts = (patch.position[1] + shift[1], patch.position[0] + shift[0])
    for start, patch_side, image_side in zip(starts, patch.alpha.shape, shape, strict=True):
        first, last = max(start, 0), max(min(start + patch_side, image_side), 0)
        image_window.append(slice(first, max(last, first)))
        patch_window.append(slice(first - start, max(last, first) - start))
    return tuple(image_window), tuple(patch_window)


def _full_mask(patch: _Patch, shape: tuple[int, int]) -> tuple[np.ndarray, int]:
    """Return the patch's mask in the image (h, w) bool and its area outside included."""
    mask = np.zeros(shape, bool)
    inside, part = _windows(patch, shape)
    mask[inside] = patch.alpha[part] > 127
    return mask, max(int(np.count_nonzero(patch.alpha > 127)), 1)


def _paint(image: np.ndarray, patch: _Patch, rng: np.random.Generator) -> None:
    """Blend a patch into ``image`` in place, often over a soft shadow."""
    shape = image.shape[:2]
    if rng.random() < 0.7:
        reach = max(2, max(patch.alpha.shape) // 16)
        shift = (int(rng.integers(-reach, reach + 1)), int(rng.integers(1, reach + 1)))
        inside, part = _windows(patch, shape, shift)
        soft = cv2.GaussianBlur(patch.alpha, (0, 0), 0.6 * reach)[part].astype(np.float32)
        dim = 1 - soft * (rng.uniform(0.25, 0.6) / 255)
        image[inside] = (image[inside] * dim[..., None]).astype(np.uint8)
    inside, part = _windows(patch, shape)
    cover = (patch.alpha[part].astype(np.float32) / 255)[..., None]
    color = patch.color[part].astype(np.float32)
    image[inside] = (image[inside] * (1 - cover) + color * cover + 0.5).astype(np.uint8)


def _pour_heap(image: np.ndarray, materials: Materials, rng: np.random.Generator) -> SceneObject:
    """Paint a heap of small things of one class and return it as one crowd object."""
    shape, shorter = image.shape[:2], min(image.shape[:2])
    category = CLASSES[rng.integers(len(CLASSES))]
    mask = np.zeros(shape, bool)
    count = int(rng.integers(*HEAP_COUNT_RANGE))
    center = rng.uniform(0.35, 0.65, 2) * (shape[1], shape[0])
    sources = []
    for number in range(count):
        cutout = draw_cutout(category, materials, rng)
        patch = _turn(cutout, rng.uniform(*HEAP_SIZE_RANGE) * shorter, rng)
        # A sunflower spiral spreads the pieces: each overlaps its neighbours, none is buried.
        angle, radius = number * 2.4 + rng.uniform(-0.3, 0.3), 0.07 * shorter * number**0.5
        spot = center + radius * np.array([np.cos(angle), np.sin(angle)])
        corner = spot - np.array(patch.alpha.shape[::-1]) / 2
        patch = _Patch(patch.color, patch.alpha, (int(corner[0]), int(corner[1])))
        _paint(image, patch, rng)
        mask |= _full_mask(patch, shape)[0]
        sources.append(cutout.source)
    area = int(np.count_nonzero(mask))
    return SceneObject(category, ", ".join(sources), mask, area, is_crowd=True)
