"""Cityscapes as its zip files unpack, prepared for training.

The label ids of ``gtFine`` become the 19 training ids, 255 for what is ignored, by the
definitions of `cityscapesscripts <https://github.com/mcordts/cityscapesScripts>`_.
"""

import os
import secrets
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TextIO

import numpy as np
from PIL import Image

from mixnet_dense.errors import InputError
from mixnet_dense.progress import Progress
from mixnet_dense.seg.labels import Fault, pair_fault, read_label

SPLITS = ("train", "val")
_IMAGE, _IDS, _TRAIN_IDS = (
    "_leftImg8bit.png",
    "_gtFine_labelIds.png",
    "_gtFine_labelTrainIds.png",
)


class Pair(NamedTuple):
    """An image and its label ids; either may be missing."""

    image: Path
    labels: Path


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

    Each pair is checked before its file is written, and each file is written whole, so
    that an interrupted run can be started again: what is there already is passed over.

    Args:
        root: folder with ``leftImg8bit/`` and ``gtFine/``, each with ``train/`` and
            ``val/``. The test split has no labels to prepare.

    Returns:
        Per split how many were ``written`` and how many were ``there already``.

    Raises:
        InputError: folders are missing, or after all good pairs are done, some were not:
            each is named on ``stream`` with what is wrong.
    """
    stream = stream or sys.stderr
    pairs = {split: list(_pairs(root, split)) for split in SPLITS}
    table, known = train_ids()
    total = sum(map(len, pairs.values()))
    progress = Progress(total, "label maps", stream)
    counts, faults = {}, []
    for split in SPLITS:
        counts[split] = {"written": 0, "there already": 0}
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for outcome in pool.map(lambda pair: _prepare_pair(pair, table, known), pairs[split]):
                if isinstance(outcome, Fault):
                    faults.append(outcome)
                    print(outcome.message, file=stream, flush=True)
                else:
                    counts[split][outcome] += 1
                progress.step()
    if faults:
        kinds = Counter(fault.kind for fault in faults)
        raise InputError(
            f"{root}: {len(faults)} of {total} pairs are bad "
            f"({', '.join(f'{count} {kind}' for kind, count in kinds.items())}), "
            f"first {faults[0].message}; the others are prepared"
        )
    return counts


def _pairs(root: Path, split: str) -> Iterator[Pair]:
    """Every image and every label map of a split, in order."""
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
    for stem in sorted(stems):
        yield Pair(Path(f"{places[0] / stem}{_IMAGE}"), Path(f"{places[1] / stem}{_IDS}"))


def _prepare_pair(pair: Pair, table: np.ndarray, known: np.ndarray) -> str | Fault:
    """Return 'written', 'there already', or what is wrong."""
    target = Path(str(pair.labels).removesuffix(_IDS) + _TRAIN_IDS)
    if (
        all(path.is_file() for path in (*pair, target))
        and target.stat().st_mtime >= pair.labels.stat().st_mtime
    ):
        return "there already"
    fault = pair_fault(*pair, known, whole=True)
    if fault:
        return fault
    _write_whole(target, table[read_label(pair.labels)])
    return "written"


def _write_whole(target: Path, labels: np.ndarray) -> None:
    partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
    try:
        Image.fromarray(labels).save(partial, format="PNG")
        partial.replace(target)
    except OSError as error:
        raise InputError(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)
