"""The embedded sample: a small COCO and Cityscapes set made from files inside pip packages.

`build_sample` writes the folder; `tools/prepare_data.py sample` is its command line.
"""

import json
import multiprocessing
import os
import sys
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TextIO

import cv2

from mixnet_dense.errors import InputError
from mixnet_dense.progress import Progress
from mixnet_dense.sample.layouts import empty_annotations, paths, write_image, write_picture
from mixnet_dense.sample.report import draw_preview, readme_text
from mixnet_dense.sample.sources import CLASSES, SPLITS

SAMPLE_VERSION = 2
"""Raise this whenever the same arguments would give other images or annotations."""

STAMP_NAME = "sample.json"
_FOLDERS = ("annotations", "train2017", "val2017", "leftImg8bit", "gtFine")
_OWN_ENTRIES = {*_FOLDERS, "README.md", "preview.jpg", STAMP_NAME}
_LEAST_PER_PROCESS = 100  # images; starting a process takes as long as about fifty


@dataclass(frozen=True)
class SampleRequest:
    """What to build: the folder, the number of images of each split, and the seed.

    Raises:
        InputError: a number is out of range.
    """

    out: Path
    train: int = 2800
    val: int = 150
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("train", 1), ("val", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise InputError(f"--{name} is {getattr(self, name)}; give {least} or more")

    @property
    def settings(self) -> dict:
        """What decides the content of a sample, besides the versions of packages."""
        numbers = {"train": self.train, "val": self.val, "seed": self.seed}
        made = {"made_by": "mixnet_dense embedded sample", "version": SAMPLE_VERSION}
        return {**made, **numbers, "classes": list(CLASSES)}

    @property
    def jobs(self) -> list[tuple[str, int]]:
        """The split of every image and its number in it."""
        return [(split, index) for split in SPLITS for index in range(getattr(self, split))]


def build_sample(
    request: SampleRequest, force: bool = False, stream: TextIO = sys.stderr
) -> dict[str, dict[str, int]] | None:
    """Write the sample folder and return the counts of each split.

    Everything is written into a hidden folder beside ``request.out`` and renamed at the
    end, so ``request.out`` is never half-written. Returns None when the same sample is
    already there. ``force`` replaces an older sample, and nothing but a sample.

    Raises:
        InputError: the folder is something else, or cannot be written; or scikit-learn or
            scikit-image is not installed.
    """
    out = request.out.resolve()
    try:
        if out.exists() and _is_there(request, out, force):
            return None
        out.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(
            prefix=f".{out.name}.", dir=out.parent, ignore_cleanup_errors=True
        ) as hidden:
            new, old = Path(hidden, "new"), Path(hidden, "old")
            summary = _write_all(request, new, stream)
            if out.exists():
                out.rename(old)
            try:
                new.rename(out)
            except OSError:
                if old.exists():
                    old.rename(out)
                raise
    except OSError as error:
        raise InputError(f"cannot make the sample {request.out}: {error}") from error
    return summary


def _is_there(request: SampleRequest, out: Path, force: bool) -> bool:
    """Return whether the folder ``out`` is the wanted sample; raise if it must stay."""
    try:
        found = json.loads((out / STAMP_NAME).read_text())
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict) or found.get("made_by") != request.settings["made_by"]:
        raise InputError(f"{request.out} is not a sample made by this tool; give another folder")
    if force:
        if foreign := {entry.name for entry in out.iterdir()} - _OWN_ENTRIES:
            raise InputError(f"{request.out} holds a file of yours, {min(foreign)}; move it away")
        return False
    same = request.settings.items() <= found.items()
    files = (path for job in request.jobs for path in paths(out, *job))
    if same and all(path.is_file() for path in files):
        return True
    reason = "is damaged" if same else "was made with other settings"
    raise InputError(f"{request.out} holds a sample that {reason}; --force replaces it")


def _write_all(request: SampleRequest, folder: Path, stream: TextIO) -> dict[str, dict[str, int]]:
    """Write all files into ``folder`` and return the counts of each split."""
    for split in SPLITS:
        for path in paths(folder, split, 0):
            path.parent.mkdir(parents=True, exist_ok=True)
    contents = _write_images(request, folder, stream)
    for split, content in contents.items():
        paths(folder, split, 0)[0].write_text(json.dumps(content))
    write_picture(folder / "preview.jpg", draw_preview(folder, contents["val"]))
    summary = {split: _count(content) for split, content in contents.items()}
    packages = ("scikit-learn", "scikit-image", "numpy")
    versions = {name: version(name) for name in packages} | {"opencv": cv2.__version__}
    stamp = request.settings | {"versions": versions}
    (folder / "README.md").write_text(readme_text(stamp, summary), encoding="utf-8")
    (folder / STAMP_NAME).write_text(json.dumps(stamp))
    return summary


def _write_images(request: SampleRequest, folder: Path, stream: TextIO) -> dict[str, dict]:
    """Write all images and label maps and return the content of the annotation files."""
    jobs = request.jobs
    contents = {split: empty_annotations(split, request.seed) for split in SPLITS}
    progress = Progress(len(jobs), stream=stream)
    write = partial(write_image, folder, request.seed)
    with _executor(len(jobs)) as executor:
        written = executor.map(write, *zip(*jobs, strict=True), chunksize=8)
        for (split, _), (image, found) in zip(jobs, written, strict=True):
            rows = contents[split]["annotations"]
            rows += [{"id": len(rows) + at, **row} for at, row in enumerate(found, start=1)]
            contents[split]["images"].append(image)
            progress.step()
    return contents


def _executor(images: int) -> Executor:
    """Return a process per core where there are many images, else one thread."""
    count = min(os.cpu_count() or 1, images // _LEAST_PER_PROCESS)
    if count < 2:
        return ThreadPoolExecutor(1)
    spawn = multiprocessing.get_context("spawn")  # a fork of OpenCV's threads can hang
    return ProcessPoolExecutor(count, spawn, cv2.setNumThreads, (0,))


def _count(content: dict) -> dict[str, int]:
    images, rows = content["images"], content["annotations"]
    single = [row["category_id"] for row in rows if not row["iscrowd"]]
    return {
        "images": len(images),
        "images without objects": len(images) - len({row["image_id"] for row in rows}),
        "objects": len(single),
        **{name: single.count(number) for number, name in enumerate(CLASSES, start=1)},
        "crowds": len(rows) - len(single),
    }
