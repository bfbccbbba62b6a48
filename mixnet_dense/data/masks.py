"""Photos with a label map each: Cityscapes' layout, or two folders with equal names."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mixnet_dense.data.folder import Folder, Labels, Photo
from mixnet_dense.errors import InputError
from mixnet_dense.files import read_text
from mixnet_dense.progress import on_all_cores
from mixnet_dense.seg.labels import read_labels

_FOLDERS = (("leftImg8bit", "gtFine"), ("images", "masks"), ("images", "labels"))
_ENDS = "_leftImg8bit.png", "_gtFine_labelTrainIds.png"  # of Cityscapes' files
_IGNORED = 255


@dataclass
class Pairs(Labels):
    """Photos with label maps: ``images/NAMEsuffixes[0]`` and ``masks/NAMEsuffixes[1]``."""

    images: Path = Path()
    masks: Path = Path()
    suffixes: tuple[str, str] = ("", "")

    def name(self, photo: Photo) -> str:
        return photo.path.relative_to(self.images).as_posix().removesuffix(self.suffixes[0])


def read_pairs(root: Path) -> Pairs:
    """Find the pairs of a folder, and the classes that their label maps need.

    Raises:
        InputError: no pairs there; a label map that cannot be read, is of another size than its
            image or has more than one channel; or no value but 0 and 255.
    """
    folder = Folder(root)
    there = [(root / a, root / b) for a, b in _FOLDERS]
    there = [pair for pair in there if pair[0].is_dir() and pair[1].is_dir()]
    if not there:
        wanted = " or ".join(f"{a}/ and {b}/" for a, b in _FOLDERS)
        raise InputError(f"{root}: must have the folders {wanted}")
    places = there[0]
    listed, suffixes, named = [], [], []
    for files, place, end in zip((folder.images, folder.of(".png")), places, _ENDS, strict=True):
        listed.append([path for path in files if place in path.parents])
        suffixes.append(_suffix(listed[-1], end, place))
        names = {path.relative_to(place).as_posix(): path for path in listed[-1]}
        end = suffixes[-1]
        named.append({n.removesuffix(end): path for n, path in names.items() if n.endswith(end)})
    names = sorted(named[0].keys() & named[1].keys())
    if not names:
        raise InputError(f"{root}: no image NAME{suffixes[0]} has a label map NAME{suffixes[1]}")
    values = _values([(named[0][name], named[1][name]) for name in names])
    if values <= {0, _IGNORED} and _IGNORED in values:
        raise InputError(
            f"{places[1]}: the label maps have only the values 0 and 255, and 255 is ignored in "
            "training; write the number of the class, from 0 on"
        )
    paths = [named[0][name] for name in names]
    return Pairs(
        "label map",
        [Photo(path, (0, 0), folder.split(path), []) for path in paths],
        _class_names(root, max(values - {_IGNORED}, default=0) + 1),
        +Counter({"images without a label map": len(listed[0]) - len(names)}),
        images=places[0],
        masks=places[1],
        suffixes=tuple(suffixes),
    )


def _suffix(files: list[Path], special: str, place: Path) -> str:
    """What the names of most files end in."""
    if not files:
        raise InputError(f"{place}: no image there")
    if any(path.name.endswith(special) for path in files):
        return special
    return Counter(path.suffix for path in files).most_common(1)[0][0]


def _values(pairs: list[tuple[Path, Path]]) -> set[int]:
    """All values of all label maps."""
    anything, found = np.ones(256, bool), set()

    def look(pair: tuple[Path, Path]) -> np.ndarray:
        return read_labels(*pair, anything, whole=False)

    for labels in on_all_cores(look, pairs, "label maps read"):
        found |= set(np.flatnonzero(np.bincount(labels.ravel(), minlength=256)).tolist())
    return found


def _class_names(root: Path, count: int) -> list[str]:
    """The lines of classes.txt, if it is there."""
    path = root / "classes.txt"
    lines = read_text(path).split("\n") if path.is_file() else []
    names = [line.strip() for line in lines if line.strip()]
    if names and len(names) < count:
        raise InputError(f"{path}: has {len(names)} names, the label maps need {count}")
    return names or [f"class {number}" for number in range(count)]
