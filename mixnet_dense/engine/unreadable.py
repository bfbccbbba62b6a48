"""Images and label maps that cannot be read: named, counted, and replaced by others of the set."""

import math
from pathlib import Path
from traceback import walk_tb

import cv2
import numpy as np
import torch
from mmengine.logging import print_log
from PIL import Image
from torch.utils.data import Dataset

from mixnet_dense.engine.resume import Index, seed_all
from mixnet_dense.errors import InputError

SHARE = 0.01
"""How much of a data set may be unreadable, where the config's ``survival`` does not say."""

# What decoders and file systems raise, if a step that loads was running.
_ERRORS = (OSError, EOFError, SyntaxError, ValueError, AssertionError, cv2.error)
_ERRORS += (Image.DecompressionBombError,)
_OWN = {"dataset", "_allowed", "_share", "_unreadable", "_tests"}


class SturdyDataset(Dataset):
    """A dataset that seeds each sample's loading and replaces what cannot be read.

    In training another image, drawn at random, takes its place. In an evaluation the next one
    does, marked with ``unreadable`` and the lost image's ``img_id``, for the metrics to leave out.
    All attributes are those of the dataset within.

    Args:
        dataset: of mmengine's kind.
        share: how much of it may be unreadable, rounded up to whole images; 0: nothing. Each of
            several processes counts what it reads itself.
        tests: whether this is an evaluation.

    Raises:
        InputError: more is unreadable than allowed, or the folder is no longer there.
    """

    def __init__(self, dataset, share: float, tests: bool):
        self.dataset, self._share, self._tests = dataset, share, tests
        self._allowed = min(math.ceil(share * len(dataset)), len(dataset) - 1)
        # A flag for each image, in memory that the data workers share.
        self._unreadable = torch.zeros(len(dataset), dtype=torch.uint8).share_memory_()

    def allow_none(self) -> None:
        """The first that cannot be read is an error."""
        self._allowed = 0

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int):
        if isinstance(index, Index):
            seed_all(index.seeds)
        wanted = found = int(index)
        while True:
            try:
                sample = self.dataset[found]
            except _ERRORS as error:
                if isinstance(error, InputError) or not (path := _lost_file(error)):
                    raise
                self._count(found, path)
            else:
                return self._marked(sample, wanted) if self._tests and found != wanted else sample
            found = (found + 1) % len(self) if self._tests else np.random.randint(len(self))

    def _count(self, index: int, path: str) -> None:
        known, self._unreadable[index] = bool(self._unreadable[index]), 1
        count = int(self._unreadable.sum())
        folder = Path(path).parent
        if "://" not in path and not folder.is_dir():
            raise InputError(f"{folder}: is no longer there")
        if count > self._allowed:
            more = f"; more than {self._allowed} of {len(self)} (survival.max_unreadable)"
            raise InputError(f"{path}: is not a readable image" + more * bool(self._allowed))
        if not known:
            done = "left out" if self._tests else "another is taken"
            line = f"{path}: is not a readable image, {done} ({count} of at most {self._allowed})"
            print_log(line, "current", 30)

    def _marked(self, sample: dict, index: int) -> dict:
        row = self.dataset.get_data_info(index)
        marks = {name: row[name] for name in ("img_id", "img_path") if name in row}
        if isinstance(sample["data_samples"], list):  # augmented tests merge their samples
            raise InputError(f"{row['img_path']}: is not a readable image")
        sample["data_samples"].set_metainfo(dict(marks, unreadable=True))
        return sample

    def __getattr__(self, name: str):
        if name in _OWN or name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.dataset, name)

    def __setattr__(self, name: str, value) -> None:
        """A hook may set the pipeline of the dataset within."""
        if name in _OWN:
            super().__setattr__(name, value)
        else:
            setattr(self.dataset, name, value)


def _lost_file(error: BaseException) -> str | None:
    """What a loading step of a pipeline was reading when it raised; None for any other error."""
    for frame, _ in walk_tb(error.__traceback__):
        if str(frame.f_globals.get("__name__")).endswith("transforms.loading"):
            step, row = (frame.f_locals.get(name) for name in ("self", "results"))
            kind = "seg_map_path" if type(step).__name__ == "LoadAnnotations" else "img_path"
            return str(row[kind]) if row and row.get(kind) else None
    return None
