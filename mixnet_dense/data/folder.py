"""A folder of labelled photos: its files, and what the readers of `formats` collect."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mixnet_dense.data.pictures import Header, header
from mixnet_dense.errors import InputError
from mixnet_dense.images import SUFFIXES

_SPLITS = dict(
    train="train", training="train", val="val", valid="val", validation="val",
    test="test", testing="test",
)  # fmt: skip


@dataclass
class Photo:
    """An image file with what is on it.

    Attributes:
        size: (width, height) in pixels as the label file says, else as the image's header.
        split: ``'train'``, ``'val'``, ``'test'``, or ``''`` if nobody said.
        objects: rows of ``name``, ``bbox`` (x, y, width, height in pixels), ``iscrowd``, and
            whatever else a COCO file has of an annotation.
    """

    path: Path
    size: tuple[int, int]
    split: str
    objects: list[dict]


@dataclass
class Labels:
    """All photos of a folder, the names of the classes in order, and what was left out."""

    format: str
    photos: list[Photo] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)
    left_out: Counter = field(default_factory=Counter)
    _seen: set[Path] = field(default_factory=set)

    def add(self, path: Path | None, size, split: str, objects: list[dict]) -> None:
        """Add a photo; what is no readable file or is there already is counted instead."""
        if path is None or path in self._seen:
            kind = "second labels of one image" if path else "labelled images that are not there"
            self.left_out[kind] += 1
            return
        self._seen.add(path)
        if not size or min(size) < 1:
            found = header(path)
            size = found.size if isinstance(found, Header) else None
        if size:
            self.photos.append(Photo(path, tuple(size), split, objects))
        else:
            self.left_out["files that cannot be read as images"] += 1


class Folder:
    """The files below a folder, those of hidden folders left out, by kind and by name."""

    def __init__(self, root: Path):
        if not root.is_dir():
            raise InputError(f"{root}: is not a folder")
        found = sorted(path for path in root.rglob("*") if path.is_file())
        self.root = root
        self.files = [
            path
            for path in found
            if not any(part.startswith(".") for part in path.relative_to(root).parts)
        ]
        self.images = [path for path in self.files if path.suffix.lower() in SUFFIXES]
        self._by_name, self._by_stem = defaultdict(list), defaultdict(list)
        for path in self.images:
            self._by_name[path.name].append(path)
            self._by_stem[path.stem].append(path)

    def of(self, *suffixes: str) -> list[Path]:
        return [path for path in self.files if path.suffix.lower() in suffixes]

    def image(self, name: str, label: Path) -> Path | None:
        """The image that a label file names: by folders and name, else by its name alone.

        None if only the name fits and several have it: a guess would mix up their boxes.
        """
        name = name.replace("\\", "/")
        base = name.rpartition("/")[2]
        found = self._by_name[base] or self._by_stem[Path(base).stem]
        same = [path for path in found if path.as_posix().endswith(f"/{name.lstrip('./')}")]
        return self._nearest(same or found[:1] * (len(found) == 1), label)

    def twin(self, label: Path, name: str) -> Path | None:
        """The image of a label file for one image: of the same stem, else what it names."""
        found = self._nearest(self._by_stem[label.stem], label)
        return found or (self.image(name, label) if name else None)

    def _nearest(self, images: list[Path], label: Path) -> Path | None:
        """The image beside the label file, else one of its split."""
        split = self.split(label)

        def distance(path: Path) -> tuple:
            return path.parent != label.parent, self.split(path) != split, path

        return min(images, key=distance, default=None)

    def split(self, path: Path) -> str:
        """The split that folder or file names tell: ``valid/x.jpg``, ``instances_val2017.json``."""
        parts = path.relative_to(self.root).parts
        words = [*parts[:-1][::-1], *(re.split("[^a-z]+", parts[-1].lower()))]
        if path.suffix.lower() in SUFFIXES:
            words = parts[:-1][::-1]  # a photo's own name says nothing
        known = [_SPLITS.get(re.sub(r"\d+$", "", word.lower())) for word in words]
        return next(filter(None, known), "")


def box(points: Sequence[Sequence[float]]) -> list[float]:
    """The ``bbox`` around points (x, y)."""
    xs, ys = zip(*points, strict=True)
    return [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]
