"""Labels as the usual tools write them: COCO, YOLO, Pascal VOC, labelme.

Nothing is left out in silence: what a reader does not take is counted. docs/own_data.md compares
these readers with converter libraries.
"""

import math
import os
import re
from collections import Counter, defaultdict
from pathlib import Path
from xml.etree import ElementTree

import yaml

from mixnet_dense.data.folder import Folder, Labels, box
from mixnet_dense.data.pictures import Header, header
from mixnet_dense.errors import InputError, first_line
from mixnet_dense.files import read_json, read_text


def read(root: Path) -> Labels:
    """Read a folder of labelled photos, whatever the format.

    Raises:
        InputError: no such folder, no labels of a known format there, or a broken label file.
    """
    folder = Folder(root)
    for reader in (_yolo, _coco, _labelme, _voc):
        labels = reader(folder)
        if labels is not None:
            break
    else:
        raise InputError(
            f"{root}: no labels there; known are COCO's .json, YOLO's data.yaml with labels/*.txt, "
            "Pascal VOC's .xml and labelme's .json"
        )
    if not any(photo.objects for photo in labels.photos):
        why = "; ".join(f"{count} {what}" for what, count in labels.left_out.items())
        raise InputError(
            f"{root}: {labels.format} labels, but no photo with a box" + f"; {why}" * bool(why)
        )
    if not labels.classes:
        labels.classes = sorted({row["name"] for photo in labels.photos for row in photo.objects})
    return labels


# ------------------------------------------------------------------------ COCO


def _coco(folder: Folder) -> Labels | None:
    files = {}
    for path in folder.of(".json"):
        content = read_json(path)
        if isinstance(content, dict) and {"images", "annotations", "categories"} <= content.keys():
            files[path] = content
    # COCO's own folder has key points and captions of the same images too
    files = {p: c for p, c in files.items() if p.name.startswith("instances")} or files
    if not files:
        return None
    labels = Labels("COCO")
    for path, content in files.items():
        try:
            _add_coco(folder, labels, path, content)
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"{path}: is not a COCO annotation file ({type(error).__name__}: {error})"
            ) from error
    return labels


def _add_coco(folder: Folder, labels: Labels, path: Path, content: dict) -> None:
    names = {row["id"]: row["name"] for row in sorted(content["categories"], key=lambda r: r["id"])}
    labels.classes += [name for name in names.values() if name not in labels.classes]
    objects = defaultdict(list)
    for row in content["annotations"]:
        if row.get("category_id") not in names or "bbox" not in row:
            labels.left_out["annotations without a known category or a box"] += 1
            continue
        own = {k: v for k, v in row.items() if k not in ("id", "image_id", "category_id")}
        objects[row["image_id"]].append({"iscrowd": 0, **own, "name": names[row["category_id"]]})
    for row in content["images"]:
        image = folder.image(str(row["file_name"]), path)
        size = (row.get("width") or 0, row.get("height") or 0)
        split = folder.split(path) or (folder.split(image) if image else "")
        labels.add(image, size, split, objects[row["id"]])


# ------------------------------------------------------------------------ YOLO


def _yolo(folder: Folder) -> Labels | None:
    for path in folder.of(".yaml", ".yml"):
        try:
            content = yaml.safe_load(path.read_bytes())
        except yaml.YAMLError as error:
            raise InputError(f"{path}: is not YAML: {str(error).splitlines()[0]}") from error
        if isinstance(content, dict) and "names" in content:
            break
    else:
        listed = [path for path in folder.files if path.name in ("obj.names", "classes.txt")]
        if not listed:
            return None
        path, content = listed[0], dict(names=read_text(listed[0]).split("\n"))
    names = _yolo_names(path, content["names"])
    labels = Labels("YOLO", classes=[names[number] for number in sorted(names)])
    images = _yolo_images(folder, path, content)
    for image, split in images.items():
        text = _yolo_labels(image)
        if not text.is_file():
            labels.left_out["images without a .txt (taken as without objects)"] += 1
        found = header(image)
        size = found.size if isinstance(found, Header) else None
        rows = _yolo_rows(text, names, size) if size and text.is_file() else []
        labels.add(image, size, split, rows)
    return labels


def _yolo_names(path: Path, names) -> dict[int, str]:
    names = dict(enumerate(names)) if isinstance(names, list) else names
    kinds = (str, int, float)
    if not isinstance(names, dict) or not all(isinstance(name, kinds) for name in names.values()):
        raise InputError(f"{path}: names must be a list of names, or names by their numbers")
    try:
        return {int(n): str(name).strip() for n, name in names.items() if str(name).strip()}
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: names must be by their numbers: {first_line(error)}") from error


def _yolo_images(folder: Folder, file: Path, content: dict) -> dict[Path, str]:
    """Each image and its split, as the entries train, val and test say: folders or lists."""
    base = file.parent / str(content.get("path") or "")
    found, known = {}, {path.resolve(): path for path in folder.images}
    for split in ("train", "val", "test"):
        entries = content.get(split) or []
        entries = [entries] if isinstance(entries, str) else entries
        if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
            raise InputError(f"{file}: {split}: {entries!r:.40} must be a folder or a list of them")
        for entry in entries:
            # Some tools write ../train/images where they mean train/images.
            tried = [base / entry, folder.root / entry, folder.root / entry.lstrip("./")]
            root = os.path.abspath(folder.root)
            below = [p for p in tried if os.path.commonpath([root, os.path.abspath(p)]) == root]
            place = next((path for path in below if path.exists()), None)
            if place is None:
                raise InputError(
                    f"{tried[0]}: not there, but the entry {split}: names it; all must be below "
                    f"{folder.root}"
                )
            if place.is_dir():
                inside = [place.resolve() in real.parents for real in known]
                paths = [path for path, keep in zip(known.values(), inside, strict=True) if keep]
            else:
                lines = [line.strip() for line in read_text(place).splitlines()]
                paths = [folder.image(line, place) for line in lines if line]
            for path in filter(None, paths):
                found.setdefault(path, split)
    return found or dict.fromkeys(folder.images, "")


def _yolo_labels(image: Path) -> Path:
    """``images/…/x.jpg`` has ``labels/…/x.txt``, or ``x.txt`` beside it."""
    there = re.sub("^(.*/)?images/", r"\1labels/", image.as_posix())
    place = Path(there).with_suffix(".txt")
    return place if place.is_file() else image.with_suffix(".txt")


def _yolo_rows(path: Path, names: dict[int, str], size: tuple[int, int]) -> list[dict]:
    rows = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip():
            continue
        try:
            kind, *values = line.split()
            name, values = names[int(kind)], [float(value) for value in values]
            if not all(map(math.isfinite, values)):
                raise ValueError
            if len(values) in (4, 5):  # the fifth is a score
                x, y, width, height = values[:4]
                points = [(x - width / 2, y - height / 2), (x + width / 2, y + height / 2)]
            else:  # the corners of a polygon
                points = list(zip(values[::2], values[1::2], strict=True))
                if len(points) < 3:
                    raise ValueError
        except (KeyError, ValueError) as error:
            raise InputError(
                f"{path}:{number}: '{line[:40]}' must be a class from {min(names)} to {max(names)} "
                "and a box's 4 numbers or a polygon's corners"
            ) from error
        scaled = [(x * size[0], y * size[1]) for x, y in points]
        rows.append(dict(name=name, bbox=box(scaled), iscrowd=0))
    return rows


# ----------------------------------------- a file for each photo: Pascal VOC, labelme


def _voc(folder: Folder) -> Labels | None:
    roots = {path: _xml(path) for path in folder.of(".xml")}
    splits = {
        stem.split()[0]: path.stem
        for path in folder.of(".txt")
        if path.parent.parent.name == "ImageSets" and path.stem in ("train", "val", "test")
        for stem in read_text(path).splitlines()
        if stem.strip()
    }
    files = {path: root for path, root in roots.items() if root.tag == "annotation"}
    return _each(folder, Labels("Pascal VOC"), files, _voc_rows, splits)


def _voc_rows(root: ElementTree.Element, left_out: Counter) -> tuple[str, tuple, list[dict]]:
    rows = []
    for item in root.iter("object"):
        edges = [float(item.findtext(f"bndbox/{key}")) for key in ("xmin", "ymin", "xmax", "ymax")]
        hard = int(item.findtext("difficult", "0").strip() == "1")
        corners = (edges[:2], edges[2:])
        rows.append(dict(name=item.findtext("name").strip(), bbox=box(corners), iscrowd=hard))
        left_out["objects marked difficult (kept as crowd: not learned, not scored)"] += hard
    size = tuple(int(float(root.findtext(f"size/{key}", "0"))) for key in ("width", "height"))
    return root.findtext("filename", ""), size, rows


def _xml(path: Path) -> ElementTree.Element:
    text = path.read_bytes()
    # also in UTF-16; nothing that labels photos writes it; it can read other files
    if b"<!ENTITY" in text.replace(b"\0", b""):
        raise InputError(f"{path}: defines XML entities, which labels do not need")
    try:
        return ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise InputError(f"{path}: is not XML: {error}") from error


def _labelme(folder: Folder) -> Labels | None:
    files = {path: read_json(path) for path in folder.of(".json")}
    files = {p: c for p, c in files.items() if isinstance(c, dict) and "shapes" in c}
    return _each(folder, Labels("labelme"), files, _labelme_rows)


def _labelme_rows(content: dict, left_out: Counter) -> tuple[str, tuple, list[dict]]:
    rows = []
    for shape in content["shapes"]:
        kind = shape.get("shape_type") or "polygon"
        if not isinstance(shape["label"], str):
            raise TypeError(f"label {shape['label']!r}")
        if kind in ("rectangle", "polygon"):
            rows.append(dict(name=shape["label"], bbox=box(shape["points"]), iscrowd=0))
        else:
            left_out[f"shapes of the kind {kind}"] += 1
    size = (content.get("imageWidth") or 0, content.get("imageHeight") or 0)
    if not all(isinstance(side, (int, float)) for side in size):
        raise TypeError("imageWidth and imageHeight must be numbers")
    return str(content.get("imagePath") or ""), size, rows


def _each(folder: Folder, labels: Labels, files: dict, read_rows, splits={}) -> Labels | None:
    """Labels of files for one photo each; ``read_rows`` gives the photo's name, size and objects.

    Images without such a file are counted: nobody said that they are empty.
    """
    if not files:
        return None
    for path, content in files.items():
        try:
            name, size, rows = read_rows(content, labels.left_out)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            kind = type(error).__name__
            raise InputError(f"{path}: is not of {labels.format} ({kind}: {error})") from error
        split = splits.get(path.stem) or folder.split(path)
        labels.add(folder.twin(path, name), size, split, rows)
    labels.left_out["images without a label file"] += len(folder.images) - len(labels.photos)
    labels.left_out = +labels.left_out
    return labels
