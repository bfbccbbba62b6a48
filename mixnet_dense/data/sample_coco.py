"""COCO records of the embedded sample: what the annotation files contain."""

import cv2
import numpy as np

from mixnet_dense.data.sample_scene import Scene, SceneObject
from mixnet_dense.data.sample_sources import CLASSES, LICENCE_URLS

_COMPOSITE_LICENCE = "Composite of several sources; credit them as README.md lists them"


def coco_header(split: str, seed: int) -> dict:
    """Return the parts of an annotation file that describe the whole split."""
    names = (_COMPOSITE_LICENCE, *LICENCE_URLS)
    return {
        "info": {
            "description": f"mixnet_dense embedded sample, {split} split, seed {seed}",
            "version": "1.0",
            "contributor": "mixnet_dense tools/prepare_data.py sample",
            "url": "",
        },
        "licenses": [
            {"id": number, "name": name, "url": LICENCE_URLS.get(name, "")}
            for number, name in enumerate(names, start=1)
        ],
        "categories": [
            {"id": number, "name": name, "supercategory": "coin" if name == "coin" else "digit"}
            for number, name in enumerate(CLASSES, start=1)
        ],
    }


def image_record(image_id: int, file_name: str, scene: Scene) -> dict:
    """Return the COCO record of an image; ``background`` names its photo."""
    height, width = scene.image.shape[:2]
    return {
        "id": image_id,
        "file_name": file_name,
        "width": width,
        "height": height,
        "license": 1,
        "background": scene.background,
    }


def annotation_record(image_id: int, scene_object: SceneObject) -> dict:
    """Return the COCO record of an object but its id; ``source`` names its digit or coin."""
    mask = scene_object.mask
    return {
        "image_id": image_id,
        "category_id": CLASSES.index(scene_object.category) + 1,
        "bbox": mask_box(mask),
        "area": int(np.count_nonzero(mask)),
        "iscrowd": int(scene_object.is_crowd),
        "segmentation": run_lengths(mask) if scene_object.is_crowd else polygons(mask),
        "source": scene_object.source,
    }


def mask_box(mask: np.ndarray) -> list[int]:
    """Return [x, y, width, height] in whole pixels around the mask (h, w) bool."""
    columns = np.flatnonzero(mask.any(axis=0))
    rows = np.flatnonzero(mask.any(axis=1))
    left, top = int(columns[0]), int(rows[0])
    return [left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top]


def polygons(mask: np.ndarray) -> list[list[float]]:
    """Return the outer outlines of the mask (h, w) bool as COCO polygons [x, y, x, y, ...].

    OpenCV's outline runs through the centres of the border pixels, half a pixel inside
    the mask. Tracing the mask at twice its size brings it within a quarter of a pixel.
    """
    double = np.repeat(np.repeat(mask.astype(np.uint8), 2, axis=0), 2, axis=1)
    contours, _ = cv2.findContours(double, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    simple = [cv2.approxPolyDP(contour, 1.2, True)[:, 0] for contour in contours]
    # Pixel i of the doubled mask covers i / 2 to (i + 1) / 2 of the image.
    return [((points + 0.5) / 2).ravel().tolist() for points in simple if len(points) >= 3]


def run_lengths(mask: np.ndarray) -> dict:
    """Return the mask (h, w) bool as an uncompressed COCO run-length encoding.

    The runs go down the columns and alternate between background and object, starting
    with background.
    """
    flat = mask.ravel(order="F").astype(np.int8)
    changes = np.flatnonzero(np.diff(flat, prepend=0))
    edges = np.concatenate([[0], changes, [flat.size]])
    return {"counts": np.diff(edges).tolist(), "size": list(mask.shape)}
