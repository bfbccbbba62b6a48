"""Photos with labels as the tools of other projects write them, made for tests.

Each writer takes the photos (see `PHOTOS`), the classes, and what puts a photo at its place.
"""

import json
from pathlib import Path

import numpy as np
from PIL import Image

PHOTOS = {
    # size (width, height), then the objects: name, x, y, width, height in pixels
    "a.jpg": ((120, 80), [("cat", 10, 20, 40, 30), ("dog", 60, 8, 48, 64)]),
    "b.jpg": ((100, 100), [("dog", 0, 0, 50, 100)]),
    "c.png": ((80, 120), [("cat", 8, 12, 64, 96)]),
}
CLASSES = ("cat", "dog")


def paint(path: Path, size, boxes=(), seed=0) -> None:
    """A noisy photo with a plain rectangle for each box."""
    noise = np.random.default_rng([seed, *path.stem.encode()])
    image = noise.integers(60, 120, (size[1], size[0], 3), dtype=np.uint8)
    for name, x, y, width, height in boxes:
        image[y : y + height, x : x + width] = (250, 40, 40) if name == "cat" else (40, 250, 40)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def coco(folder: Path, photos=PHOTOS, classes=CLASSES, put=paint) -> None:
    images, annotations = [], []
    for name, (size, boxes) in photos.items():
        put(folder / "images/default" / name, size, boxes)
        images.append(dict(id=len(images) + 7, file_name=name, width=size[0], height=size[1]))
        for kind, *box in boxes:
            row = dict(image_id=images[-1]["id"], category_id=10 * (classes.index(kind) + 1))
            row |= dict(id=len(annotations) + 1, bbox=box, area=box[2] * box[3], iscrowd=0)
            annotations.append(row)
    categories = [dict(id=10 * (i + 1), name=name) for i, name in enumerate(classes)]
    content = dict(images=images, annotations=annotations, categories=categories)
    (folder / "annotations").mkdir()
    (folder / "annotations/instances_default.json").write_text(json.dumps(content))


def yolo(folder: Path, photos=PHOTOS, classes=CLASSES, put=paint) -> None:
    (folder / "labels").mkdir(parents=True)
    (folder / "data.yaml").write_text(
        f"train: images\nval: images\nnames: {dict(enumerate(classes))}\n"
    )
    for name, (size, boxes) in photos.items():
        put(folder / "images" / name, size, boxes)
        lines = []
        for kind, x, y, width, height in boxes:
            values = ((x + width / 2) / size[0], (y + height / 2) / size[1])
            values += (width / size[0], height / size[1])
            lines.append(f"{classes.index(kind)} " + " ".join(f"{value:.8f}" for value in values))
        (folder / "labels" / name).with_suffix(".txt").write_text("\n".join(lines))


def voc(folder: Path, photos=PHOTOS, classes=CLASSES, put=paint) -> None:
    (folder / "Annotations").mkdir(parents=True)
    for name, (size, boxes) in photos.items():
        put(folder / "JPEGImages" / name, size, boxes)
        text = "".join(
            f"<object><name>{kind}</name><bndbox><xmin>{x}</xmin><ymin>{y}</ymin>"
            f"<xmax>{x + width}</xmax><ymax>{y + height}</ymax></bndbox></object>"
            for kind, x, y, width, height in boxes
        )
        size = f"<size><width>{size[0]}</width><height>{size[1]}</height></size>"
        text = f"<annotation><filename>{name}</filename>{size}{text}</annotation>"
        (folder / "Annotations" / name).with_suffix(".xml").write_text(text)


def labelme(folder: Path, photos=PHOTOS, classes=CLASSES, put=paint) -> None:
    for name, (size, boxes) in photos.items():
        put(folder / name, size, boxes)
        shapes = [
            dict(label=kind, shape_type="rectangle", points=[[x + width, y], [x, y + height]])
            for kind, x, y, width, height in boxes
        ]
        content = dict(version="5.5.0", flags={}, shapes=shapes, imagePath=name, imageData=None)
        content |= dict(imageWidth=size[0], imageHeight=size[1])
        (folder / name).with_suffix(".json").write_text(json.dumps(content))


FORMATS = dict(COCO=coco, YOLO=yolo, labelme=labelme) | {"Pascal VOC": voc}


def pairs(folder: Path, count: int = 5, size=(96, 64)) -> None:
    """Photos and label maps of two classes: a rectangle on a background."""
    for index in range(count):
        paint(folder / "images" / f"{index}.jpg", size, [("cat", 20, 10, 30, 40)], index)
        labels = np.zeros(size[::-1], np.uint8)
        labels[10:50, 20:50], labels[:4] = 1, 255
        (folder / "masks").mkdir(exist_ok=True)
        Image.fromarray(labels).save(folder / "masks" / f"{index}.png")
    (folder / "classes.txt").write_text("ground\nroad\n")
