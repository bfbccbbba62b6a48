"""The files of the embedded sample, in COCO's layout and in Cityscapes'.

The label ids are those of Cityscapes' first five training classes, although the classes are
others. So the preparation step and the dataset class for Cityscapes read the sample unchanged.
"""

from pathlib import Path

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from mixnet_dense.sample.materials import CLASSES, LICENCE_URLS
from mixnet_dense.sample.scene import SceneObject, compose_scene

LABEL_CLASSES = ("background", *CLASSES)
"""Class names by training id."""

LABEL_IDS = (7, 8, 11, 12, 13)
"""Cityscapes' label ids of the training ids 0 to 4."""


def paths(folder: Path, split: str, index: int) -> tuple[Path, Path, Path, Path]:
    """Return an image's files: COCO's annotations and JPEG, Cityscapes' PNG and label map."""
    stem = f"{split}/sample/sample_{index:06d}_000000"
    return (
        folder / f"annotations/instances_{split}2017.json",
        folder / f"{split}2017/{index:06d}.jpg",
        folder / f"leftImg8bit/{stem}_leftImg8bit.png",
        folder / f"gtFine/{stem}_gtFine_labelIds.png",
    )


def write_image(folder: Path, seed: int, split: str, index: int) -> tuple[dict, list[dict]]:
    """Write one image in both layouts; return its COCO record and those of its objects."""
    scene = compose_scene(seed, split, index)
    _, jpeg, png, labels = paths(folder, split, index)
    write_picture(jpeg, scene.image)
    write_picture(png, scene.image)
    height, width = scene.image.shape[:2]
    ids = np.full((height, width), LABEL_IDS[0], np.uint8)
    for item in scene.objects:
        ids[item.mask] = LABEL_IDS[LABEL_CLASSES.index(item.category)]
    write_picture(labels, ids)
    record = dict(id=index + 1, file_name=jpeg.name, width=width, height=height, license=1)
    record["background"] = scene.background
    return record, [annotation_record(index + 1, item) for item in scene.objects]


def write_picture(path: Path, pixels: np.ndarray) -> None:
    """Write ``pixels`` (h, w) or (h, w, 3) uint8 BGR; a full disk raises OSError."""
    # PNG level 1 takes half the time of the default and makes files 3 % larger.
    level = {".jpg": (cv2.IMWRITE_JPEG_QUALITY, 90), ".png": (cv2.IMWRITE_PNG_COMPRESSION, 1)}
    # cv2.imwrite only returns False on failure and hides the reason.
    path.write_bytes(cv2.imencode(path.suffix, pixels, level[path.suffix])[1])


def annotation_record(image_id: int, scene_object: SceneObject) -> dict:
    """Return an object's COCO record without its id; ``source`` names its digit or coin."""
    mask = scene_object.mask.astype(np.uint8)
    runs = coco_mask.encode(np.asfortranarray(mask))
    runs["counts"] = runs["counts"].decode()
    return {
        "image_id": image_id,
        "category_id": CLASSES.index(scene_object.category) + 1,
        "bbox": coco_mask.toBbox(runs).astype(int).tolist(),
        "area": int(coco_mask.area(runs)),
        "iscrowd": int(scene_object.is_crowd),
        "segmentation": runs if scene_object.is_crowd else polygons(mask),
        "source": scene_object.source,
    }


def polygons(mask: np.ndarray) -> list[list[float]]:
    """Return the outer outlines of the mask (h, w) uint8 as COCO polygons [x, y, x, y, ...].

    OpenCV's outline runs through the centres of the border pixels, half a pixel inside
    the mask. Tracing the mask at twice its size brings it within a quarter of a pixel.
    """
    double = mask.repeat(2, axis=0).repeat(2, axis=1)
    contours, _ = cv2.findContours(double, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    simple = [cv2.approxPolyDP(contour, 1.2, True)[:, 0] for contour in contours]
    # Pixel i of the doubled mask covers i / 2 to (i + 1) / 2 of the image.
    return [((points + 0.5) / 2).ravel().tolist() for points in simple if len(points) >= 3]


def empty_annotations(split: str, seed: int) -> dict:
    """Return the content of an annotation file without its images and annotations."""
    composite = "Composite of several sources; credit them as README.md lists them"
    return {
        "info": {"description": f"mixnet_dense embedded sample, {split} split, seed {seed}"},
        "licenses": [
            {"id": number, "name": name, "url": url}
            for number, (name, url) in enumerate([(composite, ""), *LICENCE_URLS.items()], start=1)
        ],
        "categories": [
            {"id": number, "name": name, "supercategory": "coin" if name == "coin" else "digit"}
            for number, name in enumerate(CLASSES, start=1)
        ],
        "images": [],
        "annotations": [],
    }
