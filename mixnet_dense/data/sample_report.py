"""What a person looks at in the sample folder: its README and its preview picture."""

import math

import cv2
import numpy as np

from mixnet_dense.data.sample_cityscapes import LABEL_CLASSES, LABEL_IDS
from mixnet_dense.data.sample_materials import Materials
from mixnet_dense.data.sample_scene import LEAST_VISIBLE
from mixnet_dense.data.sample_sources import (
    CLASSES,
    COIN_COUNT,
    LICENCE_URLS,
    SOURCES,
    SPLITS,
    coin_split,
)

_TILE = (352, 288)  # width, height in pixels of one picture of the contact sheet
_COLORS = ((60, 200, 255), (255, 160, 40), (120, 255, 120), (255, 110, 255))  # BGR
_CATEGORIES = ", ".join(f"{number} {name}" for number, name in enumerate(CLASSES, start=1))
_LICENCES_TEXT = "\n".join(f"- {name}: {url}" for name, url in LICENCE_URLS.items())
_LABELS = ", ".join(
    f"{name} {label} (training id {index})"
    for index, (name, label) in enumerate(zip(LABEL_CLASSES, LABEL_IDS, strict=True))
)
_ANNOTATIONS_TEXT = f"""\
The same images lie here twice. In COCO's layout, as JPEG, with detection annotations:
`annotations/instances_train2017.json` and `annotations/instances_val2017.json`.
Category ids: {_CATEGORIES}.
Boxes, areas and polygons belong to the visible part of an object, without its
shadow; at least {LEAST_VISIBLE:.0%} of every object is visible. Polygons are outer outlines: a
hole made by something lying on top of an object is left out of `area` but not of
the polygon. A heap of small things is one annotation with `iscrowd: 1` and a
run-length mask. `background` and `source` name the photo and the digit or coin
(numbered from 0 in the order of its file; coins in reading order).

In Cityscapes' layout, as PNG: `leftImg8bit/SPLIT/sample/` and label maps
`gtFine/SPLIT/sample/*_gtFine_labelIds.png`. The ids are borrowed from Cityscapes, which
has none of these things: {_LABELS}.
A heap has the label of its things. `tools/prepare_data.py cityscapes` makes the training
ids of them as it does for Cityscapes.
"""


def readme_text(stamp: dict, summary: dict[str, dict], materials: dict[str, Materials]) -> str:
    """Return the sample's README: contents, sources, licences and how it was made."""
    versions = ", ".join(f"{name} {version}" for name, version in stamp["versions"].items())
    return f"""# Embedded sample

Photographs with coins and paper stickers of handwritten digits laid on them.
The photographs, coins and digits are real; laying them out is done by a program,
so every object's outline is known exactly.

![The first validation images with their boxes](preview.jpg)

Made by `tools/prepare_data.py sample --train {stamp["train"]} --val {stamp["val"]} \
--seed {stamp["seed"]}` (sample version {stamp["version"]}; {versions}).
Nothing was downloaded: all sources come inside the named pip packages.

## Contents

{_contents_table(summary)}

{_ANNOTATIONS_TEXT}
## Sources and licences

{_sources_table(materials)}

No photo, digit or coin is in both splits. Pieces of the photos were mirrored,
scaled and recoloured; digits were enlarged and coloured; coins were cut out and
tinted. The licences are those that the packages state and, for the digits, the UCI
repository; their texts:

{_LICENCES_TEXT}
"""


def _contents_table(summary: dict[str, dict]) -> str:
    columns = list(next(iter(summary.values())))
    rows = ["| split | " + " | ".join(columns) + " |", "|---|" + "---:|" * len(columns)]
    for split, counts in summary.items():
        rows.append(f"| {split} | " + " | ".join(str(counts[name]) for name in columns) + " |")
    return "\n".join(rows)


def _sources_table(materials: dict[str, Materials]) -> str:
    rows = ["| package | file | used for | split | licence | credit |", "|---|---|---|---|---|---|"]
    for source in SOURCES:
        split = source.split
        if source.role == "digits":
            parts = [sum(map(len, materials[name].digits.values())) for name in SPLITS]
            split = f"{parts[0]} digits train, {parts[1]} val (the last fifth of the file)"
        elif source.role == "coins":
            train = sum(coin_split(index) == "train" for index in range(COIN_COUNT))
            split = f"{train} coins train, {COIN_COUNT - train} val (every third coin)"
        rows.append(
            f"| {source.package} | {source.file} | {source.role} | {split} "
            f"| {source.licence} | {source.credit} |"
        )
    return "\n".join(rows)


def contact_sheet(
    images: list[np.ndarray], annotations: list[list[dict]], columns: int = 4
) -> np.ndarray:
    """Return one BGR picture with all ``images`` in a grid, boxes and names drawn."""
    tiles = [_tile(*pair) for pair in zip(images, annotations, strict=True)]
    blank = np.full((_TILE[1], _TILE[0], 3), 255, np.uint8)
    tiles += [blank] * (math.ceil(len(tiles) / columns) * columns - len(tiles))
    rows = [np.hstack(tiles[start : start + columns]) for start in range(0, len(tiles), columns)]
    return np.vstack(rows)


def _tile(image: np.ndarray, annotations: list[dict]) -> np.ndarray:
    tile = np.full((_TILE[1], _TILE[0], 3), 255, np.uint8)
    height, width = image.shape[:2]
    scale = min((_TILE[0] - 12) / width, (_TILE[1] - 12) / height)
    picture = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    for annotation in annotations:
        _draw_box(picture, annotation, scale)
    height, width = picture.shape[:2]
    top, left = (_TILE[1] - height) // 2, (_TILE[0] - width) // 2
    tile[top : top + height, left : left + width] = picture
    return tile


def _draw_box(picture: np.ndarray, annotation: dict, scale: float) -> None:
    """Draw one box with its category name in place; ``scale`` is picture / image pixels."""
    number = annotation["category_id"] - 1
    name = CLASSES[number] + (" (crowd)" if annotation["iscrowd"] else "")
    color = _COLORS[number % len(_COLORS)]
    left, top, width, height = (round(value * scale) for value in annotation["bbox"])
    cv2.rectangle(picture, (left, top), (left + width - 1, top + height - 1), color, 2)
    (text_width, text_height), _ = cv2.getTextSize(name, cv2.FONT_HERSHEY_SIMPLEX, 0.45, 1)
    top = max(top, text_height + 6)
    left = max(0, min(left, picture.shape[1] - text_width - 6))
    cv2.rectangle(
        picture, (left, top - text_height - 6), (left + text_width + 6, top), color, cv2.FILLED
    )
    cv2.putText(
        picture, name, (left + 3, top - 4), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1,
        cv2.LINE_AA,
    )  # fmt: skip
