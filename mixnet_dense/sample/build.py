"""The embedded sample: a small COCO and Cityscapes set made from files inside pip packages.

`build_sample` writes the folder; `tools/prepare_data.py sample` is its command line.
"""

import json
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2

from mixnet_dense.errors import InputError
from mixnet_dense.progress import on_all_cores
from mixnet_dense.sample.layouts import empty_annotations, paths, write_image, write_picture
from mixnet_dense.sample.materials import CLASSES, SAMPLE_SPLITS
from mixnet_dense.sample.overview import draw_preview, readme_text

SAMPLE_VERSION = 2
"""Raise this whenever the same arguments would give other images or annotations."""

_MADE_BY = "mixnet_dense embedded sample"
_STAMP = "sample.json"  # in the folder: the settings, and the versions of packages
_OWN_ENTRIES = {
    *("annotations", "train2017", "val2017", "leftImg8bit", "gtFine"),
    *("README.md", "preview.jpg", _STAMP),
}


def build_sample(
    out: Path, train: int = 2800, val: int = 150, seed: int = 0, force: bool = False
) -> dict[str, dict[str, int]] | None:
    """Write a folder of ``train`` and ``val`` images.

    Everything is written into a hidden folder beside ``out`` and renamed at the end, so ``out`` is
    never half-written. ``force`` replaces an older sample, and nothing but a sample.

    Returns:
        The counts of each split; None if the same sample is already there.

    Raises:
        InputError: a number is out of range; the folder is something else, or cannot be
            written; or scikit-learn or scikit-image is not installed.
    """
    for name, number, least in (("train", train, 1), ("val", val, 1), ("seed", seed, 0)):
        if number < least:
            raise InputError(f"--{name} is {number}; give {least} or more")
    settings = {"made_by": _MADE_BY, "version": SAMPLE_VERSION, "train": train, "val": val}
    settings |= {"seed": seed, "classes": list(CLASSES)}
    folder = out.resolve()
    try:
        if folder.exists() and _is_there(out, settings, force):
            return None
        folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(
            prefix=f".{folder.name}.", dir=folder.parent, ignore_cleanup_errors=True
        ) as hidden:
            new = Path(hidden, "new")
            summary = _write_all(new, settings)
            if folder.exists():
                folder.rename(Path(hidden, "old"))
            new.rename(folder)
    except OSError as error:
        raise InputError(f"cannot make the sample {out}: {error}") from error
    return summary


def _jobs(settings: dict) -> list[tuple[str, int]]:
    """The split of every image and its number in it."""
    return [(split, index) for split in SAMPLE_SPLITS for index in range(settings[split])]


def _is_there(out: Path, settings: dict, force: bool) -> bool:
    """Return whether the folder is the wanted sample; raise if it must stay."""
    try:
        found = json.loads((out / _STAMP).read_text())
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict) or found.get("made_by") != _MADE_BY:
        raise InputError(f"{out} is not a sample made by this tool; give another folder")
    if force:
        if foreign := {entry.name for entry in out.iterdir()} - _OWN_ENTRIES:
            raise InputError(f"{out} holds a file of yours, {min(foreign)}; move it away")
        return False
    same = settings.items() <= found.items()
    if same and all(path.is_file() for job in _jobs(settings) for path in paths(out, *job)):
        return True
    reason = "is damaged" if same else "was made with other settings"
    raise InputError(f"{out} holds a sample that {reason}; --force replaces it")


def _write_all(folder: Path, settings: dict) -> dict[str, dict[str, int]]:
    """Write all files into ``folder`` and return the counts of each split."""
    for split in SAMPLE_SPLITS:
        for path in paths(folder, split, 0):
            path.parent.mkdir(parents=True, exist_ok=True)
    contents = _write_images(folder, settings)
    for split, content in contents.items():
        paths(folder, split, 0)[0].write_text(json.dumps(content))
    write_picture(folder / "preview.jpg", draw_preview(folder, contents["val"]))
    summary = {split: _count(content) for split, content in contents.items()}
    packages = ("scikit-learn", "scikit-image", "numpy")
    versions = {name: version(name) for name in packages} | {"opencv": cv2.__version__}
    stamp = settings | {"versions": versions}
    (folder / "README.md").write_text(readme_text(stamp, summary), encoding="utf-8")
    (folder / _STAMP).write_text(json.dumps(stamp))
    return summary


def _write_images(folder: Path, settings: dict) -> dict[str, dict]:
    """Write all images and label maps and return the content of the annotation files."""
    jobs, seed = _jobs(settings), settings["seed"]
    contents = {split: empty_annotations(split, seed) for split in SAMPLE_SPLITS}
    written = on_all_cores(lambda job: write_image(folder, seed, *job), jobs)
    for (split, _), (image, found) in zip(jobs, written, strict=True):
        rows = contents[split]["annotations"]
        rows += [{"id": len(rows) + at, **row} for at, row in enumerate(found, start=1)]
        contents[split]["images"].append(image)
    return contents


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
