"""Prepare the unpacked zip files of Cityscapes for training.

The label ids of ``gtFine`` become the 19 training ids, 255 for what is ignored, by the
definitions of `cityscapesscripts <https://github.com/mcordts/cityscapesScripts>`_. Its own
converter and mmseg's draw the maps again from polygons and check nothing.
"""

import sys
from pathlib import Path
from typing import TextIO

import numpy as np
from PIL import Image

from mixnet_dense.errors import InputError
from mixnet_dense.files import written_whole
from mixnet_dense.progress import on_all_cores
from mixnet_dense.seg.labels import read_labels

SPLITS = ("train", "val")
_IMAGE, _IDS = "_leftImg8bit.png", "_gtFine_labelIds.png"
_TRAIN_IDS = "_gtFine_labelTrainIds.png"


def train_ids() -> tuple[np.ndarray, np.ndarray]:
    """Return the training id of every label id, and which label ids there are, (256,) each.

    Raises:
        InputError: cityscapesscripts is not installed.
    """
    try:
        from cityscapesscripts.helpers.labels import labels
    except ImportError as error:
        raise InputError(
            f"Cityscapes needs cityscapesscripts ({error}); run: pip install cityscapesscripts"
        ) from error
    table, known = np.full(256, 255, np.uint8), np.zeros(256, bool)
    for label in labels:
        if label.id >= 0:  # a licence plate has -1 and is in no label map
            table[label.id], known[label.id] = label.trainId, True
    return table, known


def prepare(root: Path, stream: TextIO | None = None) -> dict[str, dict[str, int]]:
    """Write ``*_gtFine_labelTrainIds.png`` beside every ``*_gtFine_labelIds.png``.

    Each pair is checked before its file is written, and each file is written completely. An
    interrupted run can be started again: it skips the files that exist.

    Args:
        root: folder with ``leftImg8bit/`` and ``gtFine/``, each with ``train/`` and
            ``val/``. The test split has no labels to prepare.

    Returns:
        Per split how many were ``written`` and how many were ``there already``.

    Raises:
        InputError: folders are missing; or some pairs are bad. Then all others are prepared,
            and ``stream`` has each bad pair's error.
    """
    stream = stream or sys.stderr
    jobs = [(split, *pair) for split in SPLITS for pair in _pairs(root, split)]
    table, known = train_ids()
    counts = {split: {"written": 0, "there already": 0} for split in SPLITS}
    faults = []

    def prepare(job: tuple):
        return _prepare_pair(*job[1:], table, known)

    outcomes = on_all_cores(prepare, jobs, "label maps", stream)
    for (split, *_), outcome in zip(jobs, outcomes, strict=True):
        if isinstance(outcome, InputError):
            faults.append(outcome)
            print(outcome, file=stream, flush=True)
        else:
            counts[split][outcome] += 1
    if faults:
        raise InputError(
            f"{root}: {len(faults)} of {len(jobs)} pairs are bad, first {faults[0]}; the others "
            "are prepared"
        )
    return counts


def _pairs(root: Path, split: str) -> list[tuple[Path, Path]]:
    """Every image and every label map of a split, in order; either may be missing."""
    places = [root / kind / split for kind in ("leftImg8bit", "gtFine")]
    for place in places:
        if not place.is_dir():
            raise InputError(
                f"{place}: not there; unpack leftImg8bit_trainvaltest.zip and "
                f"gtFine_trainvaltest.zip of cityscapes-dataset.com into {root}"
            )
    stems = {
        str(path.relative_to(place)).removesuffix(suffix)
        for place, suffix in zip(places, (_IMAGE, _IDS), strict=True)
        for path in place.glob(f"*/*{suffix}")
    }
    if not stems:
        raise InputError(f"{places[0]}: no CITY/*{_IMAGE} there")
    return [(places[0] / f"{stem}{_IMAGE}", places[1] / f"{stem}{_IDS}") for stem in sorted(stems)]


def _prepare_pair(
    image: Path, labels: Path, table: np.ndarray, known: np.ndarray
) -> str | InputError:
    """Return 'written', 'there already', or what is wrong with the pair."""
    target = labels.with_name(labels.name.removesuffix(_IDS) + _TRAIN_IDS)
    there = all(path.is_file() for path in (image, labels, target))
    if there and target.stat().st_mtime >= labels.stat().st_mtime:
        return "there already"
    try:
        values = table[read_labels(image, labels, known, whole=True)]
    except InputError as error:
        return error
    with written_whole(target) as partial:
        Image.fromarray(values).save(partial)
    return "written"
