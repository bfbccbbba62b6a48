"""What is wrong with labelled photos: each problem, what training does about it, repairs."""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple


class Problem(NamedTuple):
    """``effect``: what training does. ``repair``: what a cleaned file does; see `_FIX`."""

    effect: str
    repair: str = ""
    stops: bool = False  # training ends with an error
    spoils: bool = False  # the score of a validation or test set is wrong


_NOT_LEARNED, _AS_FILE = "it is not learned", "the file is used as it is; the boxes must fit it"
_LOST = "another is taken; training ends if there are more than survival.max_unreadable"

PROBLEMS = {
    # the file
    "not COCO's json": Problem("training ends", stops=True),
    "image without id, file_name, width or height": Problem("training ends", "drop", True),
    "image id used twice": Problem(
        "only the last one is used, with the boxes of both", "drop", spoils=True
    ),
    "image outside its folder": Problem("training ends", "drop", True),
    "image listed twice": Problem("it is learned twice as often", "drop"),
    "category named twice": Problem("training ends if both have annotations"),
    "annotation id missing or used twice": Problem("training ends", "number", True),
    "annotation of an unknown image": Problem(_NOT_LEARNED, "drop", spoils=True),
    "annotation of an unknown category": Problem("training ends", "drop", True),
    "annotation without iscrowd": Problem("it is no crowd; evaluation ends", spoils=True),
    "iscrowd neither 0 nor 1": Problem("the region counts as crowd: not learned, not scored"),
    # boxes
    "box that is not four finite numbers": Problem(
        "training ends or its loss is NaN", "drop", True
    ),
    "box of negative width or height": Problem(_NOT_LEARNED, "drop", spoils=True),
    "box of no width or height": Problem(_NOT_LEARNED, "drop"),
    "box smaller than a pixel": Problem(_NOT_LEARNED, "drop"),
    "box outside the image": Problem(_NOT_LEARNED, "drop", spoils=True),
    "box partly outside the image": Problem("it is cut at the image's edge", "clip"),
    "box annotated twice": Problem("in evaluation one of the two is always missed", "drop"),
    "annotation without an area": Problem("training ends", "area", True),
    "area of 0 or less": Problem(_NOT_LEARNED, "area"),
    "box too small for any anchor": Problem(
        "no anchor reaches an IoU of 0.5; the nearest one learns it, often in vain"
    ),
    # classes
    "class of the config that the file lacks": Problem("training ends; in validation it has no AP"),
    "class without an annotation": Problem("it cannot be learned, or in validation not be scored"),
    "category that is no class of the config": Problem("its annotations are not used"),
    # image files
    "image not there": Problem("training ends", "drop", True),
    "image of too many pixels": Problem(_LOST, "drop", True),
    "not readable as an image": Problem(_LOST, "drop", True),
    "cut off or broken in the middle": Problem(_LOST, "drop", True),
    "image of another size than written": Problem(_AS_FILE, "size"),
    "image turned by EXIF": Problem("it is turned; the boxes must be of the turned image"),
    "image with alpha": Problem("alpha is dropped"),
    "image of 16 bit": Problem("it is reduced to 8 bit"),
    "image in CMYK": Problem("it is converted to RGB, with other colours than a viewer shows"),
    "photo in train and in val": Problem("validation looks better than it is", "drop"),
    "photo there twice": Problem("it is learned twice as often"),
    # label maps
    "label map not there": Problem("training ends", stops=True),
    "label map that cannot be read": Problem("training ends", stops=True),
    "label map of another size than its image": Problem("training ends", stops=True),
    "label map of more than one channel or 8 bits": Problem("training ends", stops=True),
    "label map with a value that is no class": Problem("training ends", stops=True),
    "label map without any class": Problem("nothing is learned from it"),
}


class Finding(NamedTuple):
    """``image`` and ``annotation`` are places in the lists of a COCO file, -1 for none."""

    example: str
    image: int = -1
    annotation: int = -1


class Findings(defaultdict):
    """Findings by the name of their problem, in the order of `PROBLEMS`, of one split."""

    def __init__(self):
        super().__init__(list)
        self._photos: dict[str, tuple[str, int]] = {}  # by content: the first name and place

    def add(self, problem: str, example: str, image: int = -1, annotation: int = -1) -> None:
        assert problem in PROBLEMS, problem
        self[problem].append(Finding(example, image, annotation))

    def photo(self, name: str, key: str, image: int = -1) -> None:
        """Note a photo by the hash of its content; a second one of the same content is found."""
        first, _ = self._photos.setdefault(key, (name, image))
        if first != name:
            self.add("photo there twice", f"{name} is {first}", image)

    def also_in(self, other: "Findings") -> None:
        """Find the photos of this split whose content is in the other split too."""
        for key, (name, image) in self._photos.items():
            if key in other._photos:
                example = f"{name} is {other._photos[key][0]}"
                self.add("photo in train and in val", example, image)

    def ordered(self) -> list[tuple[str, list[Finding]]]:
        return [(name, self[name]) for name in PROBLEMS if self.get(name)]


def table(splits: dict[str, Findings], examples: int = 3) -> str:
    """A block of lines per problem: how many, where, its first examples, what training does."""
    lines = []
    for split, findings in splits.items():
        for name, found in findings.ordered():
            shown = "; ".join(finding.example for finding in found[:examples])
            shown += "; …" if len(found) > examples else ""
            effect, repair = PROBLEMS[name].effect, PROBLEMS[name].repair
            effect += f" (--fix: {_FIX[repair]})" if repair else ""
            lines += [f"{len(found):7}  {split:5}  {name}", f"{'':16}{shown}", f"{'':16}{effect}"]
    return "\n".join(lines)


_FIX = dict(
    drop="left out",
    number="numbered anew",
    clip="cut at the edge",
    area="that of the box",
    size="that of the file",
)


def stopping(splits: dict[str, Findings], tolerant: bool = False) -> str:
    """The first problem that would end a training or spoil a score, as one line; '' if none.

    Args:
        tolerant: an image that cannot be read does not end it.
    """
    for split, findings in splits.items():
        for name, found in findings.ordered():
            problem = PROBLEMS[name]
            stops = problem.stops and not (tolerant and problem.effect == _LOST)
            if stops or (problem.spoils and split != "train"):
                return f"{split}: {name}: {len(found)}, first {found[0].example}"
    return ""


def cleaned(content: dict, findings: Findings, sizes: Sequence[tuple[int, int]]) -> dict:
    """A copy of a COCO file's content without what can be repaired.

    Args:
        content: of the file that the findings are about.
        findings: of `coco_check`.
        sizes: (width, height) of each image file, (0, 0) where it cannot be read.
    """
    places = defaultdict(set)  # of the annotations, by repair; "" for images that are left out
    for name, found in findings.items():
        repair = PROBLEMS[name].repair
        for finding in found:
            whole = repair == "drop" and finding.annotation < 0
            places["" if whole else repair].add(finding.image if whole else finding.annotation)
    images = {
        row["id"]: dict(row, width=size[0], height=size[1]) if all(size) else row
        for place, (row, size) in enumerate(zip(content["images"], sizes, strict=True))
        if place not in places[""]
    }
    rows = []
    for place, row in enumerate(content["annotations"]):
        image = images.get(row.get("image_id"))
        if image is None or place in places["drop"]:
            continue
        x, y, width, height = row["bbox"]
        if place in places["clip"]:
            x, width = max(0, x), min(image["width"], x + width) - max(0, x)
            y, height = max(0, y), min(image["height"], y + height) - max(0, y)
        if place in places["clip"] | places["area"]:
            row = dict(row, bbox=[x, y, width, height], area=width * height)
        rows.append(dict(row, id=len(rows) + 1))
    return dict(content, images=list(images.values()), annotations=rows)
