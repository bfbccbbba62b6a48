"""Cityscapes' dataset and metric for mmseg; all label maps are checked first."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.fileio import LocalBackend, get_file_backend
from mmengine.logging import print_log
from mmseg.datasets import CityscapesDataset as HostDataset
from mmseg.evaluation.metrics import IoUMetric as HostMetric

from mixnet_dense import shards
from mixnet_dense.errors import InputError
from mixnet_dense.files import is_outside
from mixnet_dense.progress import on_all_cores
from mixnet_dense.registry import DATASETS, METRICS
from mixnet_dense.seg.labels import read_labels

_PREPARED = "_gtFine_labelTrainIds.png"


@DATASETS.register_module()
class CityscapesDataset(HostDataset):
    """mmseg's CityscapesDataset; every label map is read once before training begins.

    With ``metainfo=dict(classes=..., palette=...)`` it reads any data set in Cityscapes'
    layout: a pixel's value is the number of its class, 255 is ignored. If all class names are
    Cityscapes' own, these classes are selected from its 19 by name, as in mmseg.

    Args:
        check_labels: whether to read all label maps on construction, on all cores.
        **options: of mmseg's dataset.

    Raises:
        InputError: no images, an image without a label map or of another size, a label map
            that cannot be read or has a value that is no class.
    """

    def __init__(self, check_labels: bool = True, **options):
        self._checks = check_labels
        super().__init__(**options)

    @classmethod
    def get_label_map(cls, new_classes: Sequence[str] | None = None) -> dict | None:
        """mmseg's map from Cityscapes' classes to some of them; None for other classes."""
        if new_classes is None or not set(new_classes) <= set(cls.METAINFO["classes"]):
            return None
        return super().get_label_map(list(new_classes))

    def _update_palette(self) -> list:
        own = self._metainfo["palette"] == self.METAINFO["palette"]
        classes, known = self._metainfo["classes"], self.METAINFO["classes"]
        if own and self.label_map is None and len(classes) != len(known):
            self._metainfo["palette"] = []  # mmseg then makes a random one
        return super()._update_palette()

    def load_data_list(self) -> list[dict]:
        self.ann_file = shards.local(self.ann_file)
        rows = super().load_data_list()
        folder = self.data_prefix["img_path"]
        if not rows:
            raise InputError(f"{folder}: no *{self.img_suffix} there")
        if folder.startswith(shards.SCHEME):
            kinds = [kind for kind in ("img_path", "seg_map_path") if kind in rows[0]]
            paths = [row[kind] for row in rows for kind in kinds]
            shards.find(folder)[0].check(paths, self.ann_file or folder)
        if not isinstance(get_file_backend(folder, backend_args=self.backend_args), LocalBackend):
            return rows
        names = [os.path.relpath(row["img_path"], folder) for row in rows]
        outside = [name for name in names if is_outside(name)]
        if outside:
            raise InputError(f"{self.ann_file}: {outside[0]}: must be a name below {folder}")
        if "seg_map_path" in rows[0]:
            self._check_there(rows)
            if self._checks:
                # All processes must raise: else the others would wait for the one that did.
                faults = [_first_fault(rows, self.allowed()) if is_main_process() else ""]
                broadcast_object_list(faults)
                if faults[0]:
                    raise InputError(faults[0])
        return rows

    def _check_there(self, rows: Sequence[dict]) -> None:
        missing = [row["seg_map_path"] for row in rows if not os.path.isfile(row["seg_map_path"])]
        if missing:
            hint = f"; run: python tools/prepare_data.py cityscapes {self.data_root or ''}".rstrip()
            raise InputError(
                f"{len(missing)} of {len(rows)} images have no label map, first {missing[0]}"
                + (hint if self.seg_map_suffix == _PREPARED else "")
            )
        if not os.path.isfile(self.ann_file):  # else its names are what is wanted
            folder = Path(self.data_prefix["seg_map_path"])
            listed = {os.path.normpath(row["seg_map_path"]) for row in rows}
            spare = [p for p in folder.rglob(f"*{self.seg_map_suffix}") if str(p) not in listed]
            if spare:
                line = f"{len(spare)} label maps have no image, first {min(spare)}"
                print_log(line, "current", logging.WARNING)

    def allowed(self) -> np.ndarray:
        """Allowed pixel values, (256,) bool."""
        custom = self.label_map is None
        classes = self.metainfo["classes"] if custom else self.METAINFO["classes"]
        allowed = np.zeros(256, bool)
        allowed[: len(classes) + self.reduce_zero_label] = allowed[self.ignore_index] = True
        return allowed


@DATASETS.register_module()
class MaskDataset(CityscapesDataset):
    """Label maps in which value i is class i of the config, whatever the names of the classes."""

    @classmethod
    def get_label_map(cls, new_classes: Sequence[str] | None = None) -> None:
        return None


def _first_fault(rows: Sequence[dict], allowed: np.ndarray) -> str:
    """The error of the first bad label map, '' if all are good."""

    def look(row: dict) -> str:
        try:
            read_labels(Path(row["img_path"]), Path(row["seg_map_path"]), allowed, whole=False)
        except InputError as error:
            return str(error)
        return ""

    return next(filter(None, on_all_cores(look, rows, "label maps checked")), "")


@METRICS.register_module()
class IoUMetric(HostMetric):
    """mmseg's IoUMetric, in per cent, with ``IoU.CLASS`` in addition to mIoU, mAcc and aAcc.

    A class that is neither annotated nor predicted has NaN and is left out of the mean. An image
    that could not be read is left out; ``unreadable_images`` counts them.
    """

    leaves_out = True  # images that are marked as unreadable

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        for sample in data_samples:  # one that could not be read holds its place among processes
            if sample.get("unreadable"):
                self.results.append(())
            else:
                super().process(data_batch, [sample])

    def compute_metrics(self, results: list) -> dict[str, float]:
        lost, results = results.count(()), [row for row in results if row]
        metrics = super().compute_metrics(results)
        if lost:
            metrics["unreadable_images"] = lost
        if not self.format_only:
            intersect, union = (sum(row[at].double() for row in results) for at in (0, 1))
            per_class = (100 * intersect / union).tolist()
            for name, value in zip(self.dataset_meta["classes"], per_class, strict=True):
                metrics[f"IoU.{name}"] = round(value, 2)
        return metrics
