"""What a person looks at in the sample folder: its README and its preview picture."""

from pathlib import Path

import cv2
import numpy as np

from mixnet_dense.sample.layouts import LABEL_CLASSES, LABEL_IDS, paths
from mixnet_dense.sample.materials import CLASSES, LICENCE_URLS, SAMPLE_SPLITS, SOURCE_FILES
from mixnet_dense.sample.scene import LEAST_VISIBLE

_PREVIEW_IMAGES, _COLUMNS = 12, 4
_TILE = np.array((352, 288))  # width, height in pixels of one picture of the preview
_COLORS = ((60, 200, 255), (255, 160, 40), (120, 255, 120), (255, 110, 255))  # BGR, by class


def readme_text(stamp: dict, summary: dict[str, dict]) -> str:
    """Return the sample's README of `build_sample`'s settings, versions and counts."""
    labels = enumerate(zip(LABEL_CLASSES, LABEL_IDS, strict=True))
    uses = {split: f"background, {split}" for split in SAMPLE_SPLITS}
    sources = [
        (row.package, row.file, uses.get(row.use, row.use), *row[3:]) for row in SOURCE_FILES
    ]
    versions = ", ".join(f"{name} {version}" for name, version in stamp["versions"].items())
    template = Path(__file__).with_name("readme_template.md").read_text(encoding="utf-8")
    return template.format(
        **stamp | {"versions": versions},
        least_visible=LEAST_VISIBLE,
        contents=_table(
            ["split", *summary["train"]], [(k, *v.values()) for k, v in summary.items()]
        ),
        categories=", ".join(f"{number} {name}" for number, name in enumerate(CLASSES, start=1)),
        labels=", ".join(f"{name} {label} (training id {at})" for at, (name, label) in labels),
        sources=_table(["package", "file", "used for", "licence", "credit"], sources),
        licences="\n".join(f"- {name}: {url}" for name, url in LICENCE_URLS.items()),
    )


def _table(names: list[str], rows: list[tuple]) -> str:
    lines = [names, ["---"] * len(names), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def draw_preview(folder: Path, content: dict) -> np.ndarray:
    """Return a picture, uint8 BGR, of the first validation images with their boxes and names.

    The images are read from the sample's folder; ``content`` is that of val's annotations.
    """
    from skimage.util import montage

    tiles = []
    for index, record in enumerate(content["images"][:_PREVIEW_IMAGES]):
        image = cv2.imread(str(paths(folder, "val", index)[1]))
        scale = min((_TILE - 12) / image.shape[1::-1])
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        for row in content["annotations"]:
            if row["image_id"] == record["id"]:
                _draw_box(image, row, scale)
        right, below = _TILE - image.shape[1::-1]
        edges = (below // 2, below - below // 2, right // 2, right - right // 2)
        tiles.append(cv2.copyMakeBorder(image, *edges, cv2.BORDER_CONSTANT, value=[255] * 3))
    shape = (-(-len(tiles) // _COLUMNS), _COLUMNS)
    return montage(np.stack(tiles), fill=[255] * 3, grid_shape=shape, channel_axis=3)


def _draw_box(picture: np.ndarray, annotation: dict, scale: float) -> None:
    """Draw one box with its category name in place; ``scale`` is picture / image pixels."""
    number = annotation["category_id"] - 1
    name = CLASSES[number] + (" (crowd)" if annotation["iscrowd"] else "")
    color, font = _COLORS[number], cv2.FONT_HERSHEY_SIMPLEX
    left, top, width, height = (round(value * scale) for value in annotation["bbox"])
    cv2.rectangle(picture, (left, top), (left + width - 1, top + height - 1), color, 2)
    (width, height), _ = cv2.getTextSize(name, font, 0.45, 1)
    top = max(top, height + 6)
    left = max(0, min(left, picture.shape[1] - width - 6))
    cv2.rectangle(picture, (left, top - height - 6), (left + width + 6, top), color, cv2.FILLED)
    cv2.putText(picture, name, (left + 3, top - 4), font, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
