"""Checks of a COCO annotation file and of its images; see `faults.PROBLEMS`."""

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mixnet_dense.data.faults import Findings
from mixnet_dense.data.pictures import Header, content_key, header
from mixnet_dense.errors import InputError
from mixnet_dense.files import is_outside, read_json
from mixnet_dense.progress import on_all_cores

Shapes = Sequence[tuple[float, float]]

_MODES = {
    "image with alpha": {"RGBA", "LA", "PA", "La", "RGBa"},
    "image of 16 bit": {"I;16", "I;16B", "I;16L", "I", "F"},
    "image in CMYK": {"CMYK", "YCCK"},
}


class CocoCheck:
    """The findings about one annotation file.

    Args:
        file: in COCO's format.
        folder: of its images.
        classes: of the config.
        shapes: (width, height) of the anchors in fractions of the image, () for no such check.

    Attributes:
        file: as given.
        content: of the file, {} if it is not COCO's.
        findings: so far.
        sizes: (width, height) of each image file as `images` found it, (0, 0) if unreadable.
    """

    def __init__(self, file: Path, folder: Path, classes: Sequence[str], shapes: Shapes = ()):
        self.file, self.folder, self.findings, self.content = file, folder, Findings(), {}
        self.sizes: list[tuple[int, int]] = []
        try:
            content = read_json(file)
            rows = [content[key] for key in ("images", "annotations", "categories")]
            if not all(isinstance(row, dict) for part in rows for row in part):
                raise TypeError("images, annotations and categories must be lists of objects")
            self._names = {row["id"]: str(row["name"]) for row in content["categories"]}
        except (InputError, KeyError, TypeError) as error:
            line = str(error) if isinstance(error, InputError) else f"{file}: {error!r}"
            self.findings.add("not COCO's json", line)
            return
        self.content = content
        self._images()
        self._classes(classes)
        if content["annotations"]:
            self._annotations(shapes)

    # ------------------------------------------------------------------ the file

    def _images(self) -> None:
        self._places, names, add = {}, set(), self.findings.add
        for place, row in enumerate(self.content["images"]):
            name = row.get("file_name")
            if not _is_key(row.get("id")) or not isinstance(name, str) or math.nan in _sides(row):
                add("image without id, file_name, width or height", f"{name or row}", place)
            elif row["id"] in self._places:
                add("image id used twice", f"{row['id']} of {name}", place)
            elif name in names:
                add("image listed twice", name, place)
            elif is_outside(name):
                add("image outside its folder", name, place)
            names.add(str(name))
            if _is_key(row.get("id")):
                self._places.setdefault(row["id"], place)

    def _classes(self, classes: Sequence[str]) -> None:
        add = self.findings.add
        if not self.content["categories"]:
            add("not COCO's json", "there are no categories")
            return
        names, ids = [], set()
        for row in self.content["categories"]:
            if str(row["name"]) in names or row["id"] in ids:
                add("category named twice", str(row["name"]))
            names.append(str(row["name"]))
            ids.add(row["id"])
        used = Counter(
            self._names.get(_key(row, "category_id")) for row in self.content["annotations"]
        )
        for name in dict.fromkeys(names):
            if used[name] and name not in classes:
                more = ", ".join(f'"{each}"' for each in (*classes, name))
                more = f"; to learn it: classes = [{more}]" if len(classes) < 12 else ""
                example = f"{name}: {used[name]} annotations{more}"
                add("category that is no class of the config", example)
        for name in classes:
            if name.startswith("(none "):
                continue
            if name not in names:
                add("class of the config that the file lacks", name)
            elif not used[name]:
                add("class without an annotation", name)

    # --------------------------------------------------------------- annotations

    def _annotations(self, shapes: Shapes) -> None:
        rows, images = self.content["annotations"], self.content["images"]
        boxes = np.array([_four(row.get("bbox")) for row in rows], float)  # (n, 4)
        places = np.array([self._places.get(_key(row, "image_id"), -1) for row in rows])
        sides = [*map(_sides, images), (math.nan, math.nan)]  # the last for unknown images
        sides = np.array(sides, float)[places]  # (n, 2)
        area = np.array([_or_nan(row.get("area")) for row in rows], float)
        crowd = np.array([row.get("iscrowd", 0) in (0, 1) for row in rows])
        ids = Counter(_key(row, "id") for row in rows)
        start, size = boxes[:, :2], boxes[:, 2:]
        end = start + size
        with np.errstate(invalid="ignore"):  # comparisons with NaN are False
            finite, positive = np.isfinite(boxes).all(1), (size > 0).all(1)
            outside = positive & ((start >= sides) | (end <= 0)).any(1)
            large = positive & (size >= 1).all(1)
            partly = large & ~outside & ((start < -1) | (end > sides + 1)).any(1)
            found = {
                "annotation of an unknown image": places < 0,
                "annotation of an unknown category": [
                    _key(row, "category_id") not in self._names for row in rows
                ],
                "annotation id missing or used twice": [
                    _key(row, "id") is None or ids[row["id"]] > 1 for row in rows
                ],
                "annotation without iscrowd": ["iscrowd" not in row for row in rows],
                "iscrowd neither 0 nor 1": ~crowd,
                "box that is not four finite numbers": ~finite,
                "box of negative width or height": finite & (size < 0).any(1),
                "box of no width or height": finite & (size >= 0).all(1) & (size == 0).any(1),
                "box smaller than a pixel": positive & ~outside & ~large,
                "box outside the image": outside,
                "box partly outside the image": partly,
                "box annotated twice": _repeated(rows, finite),
                "annotation without an area": np.isnan(area),
                "area of 0 or less": (area <= 0) & large,
            }
            if len(shapes):
                small = _too_small(size / sides, shapes)
                found["box too small for any anchor"] = small & large & ~outside
        for problem, mask in found.items():
            for place in np.flatnonzero(mask).tolist():
                row, image = rows[place], int(places[place])
                name = images[image].get("file_name") if image >= 0 else row.get("image_id")
                example = f"annotation {row.get('id')} of {name}"
                if "box" in problem:
                    example += f", bbox {row.get('bbox')}"
                self.findings.add(problem, example, image, place)

    # --------------------------------------------------------------- image files

    def images(self, whole: bool) -> None:
        """Look at all image files, on all cores: headers, or all pixels and a hash too."""
        rows = self.content.get("images", ())

        def look(row: dict) -> tuple:
            name = str(row.get("file_name"))
            path = self.folder / name
            if is_outside(name):  # found already
                return "", ""
            if not path.is_file():
                return "image not there", ""
            return header(path, whole), content_key(path) if whole else ""

        for place, (found, key) in enumerate(on_all_cores(look, rows)):
            self.sizes.append(found.size if isinstance(found, Header) else (0, 0))
            if key:
                self.findings.photo(str(rows[place].get("file_name")), key, place)
            self._image(rows[place], place, found)

    def _image(self, row: dict, place: int, found: Header | str) -> None:
        name, add = str(row.get("file_name")), self.findings.add
        if isinstance(found, str):
            if found:
                add(found, name, place)
            return
        written = (row.get("width"), row.get("height"))
        if written != found.size and math.nan not in _sides(row):
            add("image of another size than written", "{}: {} x {}, written {} x {}".format(
                name, *found.size, *written), place)  # fmt: skip
        if found.turned:
            add("image turned by EXIF", name, place)
        for problem, modes in _MODES.items():
            if found.mode in modes:
                add(problem, name, place)


def _is_key(value) -> bool:
    return isinstance(value, (int, str))


def _key(row: dict, name: str):
    """An id, None where it is missing or no number or text."""
    value = row.get(name)
    return value if _is_key(value) else None


def _number(value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _sides(row: dict) -> tuple[float, float]:
    """Width and height of an image's row, NaN where they are no positive number."""
    values = (row.get("width"), row.get("height"))
    return tuple(value if _number(value) and value > 0 else math.nan for value in values)


def _or_nan(value) -> float:
    return value if _number(value) else math.nan


def _four(box) -> list[float]:
    good = isinstance(box, list) and len(box) == 4 and all(map(_number, box))
    return box if good else [math.nan] * 4


def _repeated(rows: Sequence[dict], finite: np.ndarray) -> list[bool]:
    """Whether an earlier annotation has the same image, category and box."""
    seen, repeated = set(), []
    for row, good in zip(rows, finite, strict=True):
        key = (_key(row, "image_id"), _key(row, "category_id"), *row["bbox"]) if good else None
        repeated.append(good and key in seen)
        seen.add(key)
    return repeated


def _too_small(size: np.ndarray, shapes: Shapes) -> np.ndarray:
    """Boxes (n, 2), in fractions, smaller than the least anchor and below IoU 0.5 with all."""
    area, best = size.prod(1), np.zeros(len(size))
    for shape in np.unique(np.array(shapes), axis=0):
        common = np.minimum(size, shape).prod(1)
        best = np.fmax(best, common / (area + shape.prod() - common))
    return (best < 0.5) & (area < np.prod(shapes, 1).min())
