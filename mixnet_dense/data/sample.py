"""The embedded sample: a small COCO and Cityscapes set made from files inside pip packages.

`build_sample` writes the folder; `tools/prepare_data.py sample` is its command line.
"""

import json
import os
import secrets
import shutil
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TextIO

import cv2

from mixnet_dense.data.sample_cityscapes import FOLDERS, make_folders
from mixnet_dense.data.sample_coco import coco_header
from mixnet_dense.data.sample_materials import load_materials
from mixnet_dense.data.sample_report import contact_sheet, readme_text
from mixnet_dense.data.sample_sources import CLASSES, SPLITS
from mixnet_dense.data.sample_writer import COCO_FOLDERS, Writers, write_jpeg
from mixnet_dense.errors import InputError
from mixnet_dense.progress import Progress

SAMPLE_VERSION = 2
"""Raise this whenever the same arguments would give other files."""

STAMP_NAME = "sample.json"
_MADE_BY = "mixnet_dense embedded sample"
_PREVIEW_IMAGES = 12
_MOST_IMAGES = 1_000_000  # file names have six digits
_OWN_ENTRIES = {
    *COCO_FOLDERS.values(), *FOLDERS, "annotations", "README.md", "preview.jpg", STAMP_NAME,
}  # fmt: skip


@dataclass(frozen=True)
class SampleRequest:
    """What to build: the folder, the number of images of each split, and the seed."""

    out: Path
    train: int = 2800
    val: int = 150
    seed: int = 0

    def __post_init__(self) -> None:
        for name in SPLITS:
            count = getattr(self, name)
            if not 1 <= count <= _MOST_IMAGES:
                raise InputError(f"--{name} is {count}; give a number from 1 to {_MOST_IMAGES}")
        if self.seed < 0:
            raise InputError(f"--seed is {self.seed}; give 0 or a positive number")


def build_sample(
    request: SampleRequest, force: bool = False, stream: TextIO = sys.stderr
) -> dict[str, dict] | None:
    """Write the sample folder and return the counts of each split.

    Everything is written into a hidden folder beside ``request.out`` and renamed at the
    end, so ``request.out`` is never half-written. Returns None when the same sample is
    already there. ``force`` replaces an older sample, and nothing but a sample.
    """
    out = request.out.resolve()
    try:
        if _exists_already(request, out, force):
            return None
        partial = out.with_name(f".{out.name}.{secrets.token_hex(4)}.partial")
        partial.mkdir(parents=True)
        try:
            summary = _write_all(request, partial, stream)
            _move_into_place(partial, out)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        place = f" ({error.filename})" if error.filename else ""
        raise InputError(f"cannot write {request.out}: {error.strerror}{place}") from error
    return summary


def read_stamp(folder: Path) -> dict | None:
    """Return the stamp of a sample folder, or None when ``folder`` is not one."""
    try:
        stamp = json.loads((folder / STAMP_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return stamp if isinstance(stamp, dict) and stamp.get("made_by") == _MADE_BY else None


def _settings(request: SampleRequest) -> dict:
    """Return what decides the content of a sample."""
    return {
        "version": SAMPLE_VERSION,
        "train": request.train,
        "val": request.val,
        "seed": request.seed,
        "classes": list(CLASSES),
    }


def _stamp(request: SampleRequest) -> dict:
    packages = ("scikit-learn", "scikit-image", "numpy")
    versions = {name: version(name) for name in packages} | {"opencv": cv2.__version__}
    return {"made_by": _MADE_BY, **_settings(request), "versions": versions}


def _exists_already(request: SampleRequest, out: Path, force: bool) -> bool:
    """Return whether ``out`` is the wanted sample; raise if it must not be replaced."""
    if not os.path.lexists(out):
        return False
    found = read_stamp(out)
    if found is None:
        raise InputError(
            f"{request.out} exists and is not a sample made by this tool, so it is left alone; "
            "give another folder (--force replaces only samples made by this tool)"
        )
    if not force:
        same = _settings(request).items() <= found.items()
        if same and _is_complete(request, out):
            return True
        reason = "is damaged" if same else "was made with other settings"
        raise InputError(f"{request.out} holds a sample that {reason}; use --force to replace it")
    foreign = sorted(entry.name for entry in out.iterdir() if entry.name not in _OWN_ENTRIES)
    if foreign:
        raise InputError(
            f"{request.out} also holds {foreign[0]}, which this tool did not make; move it away "
            "or give another folder"
        )
    return False


def _is_complete(request: SampleRequest, out: Path) -> bool:
    return all(
        (out / "annotations" / f"instances_{COCO_FOLDERS[split]}.json").is_file()
        and all(
            sum(1 for _ in out.glob(pattern)) == getattr(request, split)
            for pattern in (
                f"{COCO_FOLDERS[split]}/*.jpg",
                f"leftImg8bit/{split}/*/*.png",
                f"gtFine/{split}/*/*_labelIds.png",
            )
        )
        for split in SPLITS
    )


def _move_into_place(partial: Path, out: Path) -> None:
    """Rename the finished folder to ``out``; an older sample there goes only after that."""
    retired = partial.with_suffix(".old")
    if out.exists():
        out.rename(retired)
    try:
        partial.rename(out)
    except BaseException:
        if retired.exists():
            retired.rename(out)
        raise
    shutil.rmtree(retired, ignore_errors=True)


def _write_all(request: SampleRequest, folder: Path, stream: TextIO) -> dict[str, dict]:
    """Write all files into ``folder`` and return the counts of each split."""
    materials = load_materials()
    (folder / "annotations").mkdir()
    progress = Progress(request.train + request.val, stream=stream)
    with Writers(request.seed, folder, materials, request.train + request.val) as writers:
        summary = {split: _write_split(request, split, writers, progress) for split in SPLITS}
    _write_preview(folder)
    stamp = _stamp(request)
    text = readme_text(stamp, summary, materials)
    (folder / "README.md").write_text(text, encoding="utf-8")
    _write_json(folder / STAMP_NAME, stamp)
    return summary


def _write_split(request: SampleRequest, split: str, writers: Writers, progress: Progress) -> dict:
    """Write the images, labels and the annotation file of a split and return its counts."""
    (writers.folder / COCO_FOLDERS[split]).mkdir()
    make_folders(writers.folder, split)
    images, annotations = [], []
    jobs = [(split, index) for index in range(getattr(request, split))]
    for image, found in writers.map(jobs):
        images.append(image)
        annotations += [{"id": len(annotations) + at, **row} for at, row in enumerate(found, 1)]
        progress.step()
    content = coco_header(split, request.seed) | {"images": images, "annotations": annotations}
    _write_json(writers.folder / "annotations" / f"instances_{COCO_FOLDERS[split]}.json", content)
    return _count(images, annotations)


def _count(images: list[dict], annotations: list[dict]) -> dict:
    single = [record["category_id"] for record in annotations if not record["iscrowd"]]
    return {
        "images": len(images),
        "images without objects": len(images) - len({item["image_id"] for item in annotations}),
        "objects": len(single),
        **{name: single.count(number) for number, name in enumerate(CLASSES, start=1)},
        "crowds": len(annotations) - len(single),
    }


def _write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")


def _write_preview(folder: Path) -> None:
    """Write ``preview.jpg`` from the first validation images as they lie in ``folder``."""
    content = json.loads((folder / "annotations" / "instances_val2017.json").read_text("utf-8"))
    shown = content["images"][:_PREVIEW_IMAGES]
    images = [
        cv2.imread(str(folder / COCO_FOLDERS["val"] / record["file_name"])) for record in shown
    ]
    boxes = [
        [item for item in content["annotations"] if item["image_id"] == record["id"]]
        for record in shown
    ]
    write_jpeg(folder / "preview.jpg", contact_sheet(images, boxes))
