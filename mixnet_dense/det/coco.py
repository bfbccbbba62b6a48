"""COCO annotations and metric with labels that follow the class names.

mmdet numbers labels by the order of the annotation file, not of ``classes``. If the two
orders differ, class names are wrong. If the file has fewer classes, evaluation stops with
IndexError; if it has none of them, it counts as a file without objects. Here label i is
``classes[i]`` in every file.
"""

import difflib
import logging
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from numbers import Real

import numpy as np
from mmdet.datasets import CocoDataset as HostDataset
from mmdet.datasets.api_wrappers import COCO
from mmdet.evaluation.metrics import CocoMetric as HostMetric
from mmdet.evaluation.metrics import coco_metric
from mmengine.fileio import LocalBackend, get_file_backend, get_local_path
from mmengine.logging import print_log

from mixnet_dense import compat, shards
from mixnet_dense.errors import InputError, first_line, shorten
from mixnet_dense.files import is_outside
from mixnet_dense.registry import DATASETS, METRICS

_IMAGE = dict(id=(int, str), file_name=str, width=Real, height=Real)
_ANNOTATION = dict(id=(int, str), image_id=(int, str), category_id=(int, str), bbox=list, area=Real)
_CATEGORY = dict(id=int, name=str)


@DATASETS.register_module()
class CocoDataset(HostDataset):
    """mmdet's CocoDataset; label i is class i. Annotations that no class takes are counted.

    With ``test_mode=True`` the file may lack some of the classes, which is logged, and may have
    no ``annotations``, as in COCO's test-dev. A class such as ``(none 12)`` only holds a
    place: no file needs to have it.

    Raises:
        InputError: the annotation file is not JSON or not in COCO's format, has none of the
            classes or, for training, not all of them, or has annotations of an unknown
            category; or a local image is missing.
    """

    @property
    def metainfo(self) -> dict:
        """mmdet's; for testing also where the annotations are, see `CocoMetric`."""
        place = dict(ann_file=self.ann_file, backend_args=self.backend_args)
        return super().metainfo | (place if self.test_mode else {})

    def load_data_list(self) -> list[dict]:
        self.COCOAPI = self._read
        try:
            rows = super().load_data_list()
        except AssertionError as error:  # ids that are equal but not the same, as 1 and True
            raise InputError(first_line(error)) from error
        finally:
            del self.COCOAPI
        if not rows:
            raise InputError(f"{self.ann_file}: has no images")
        paths = [row["img_path"] for row in rows]
        if isinstance(get_file_backend(paths[0], backend_args=self.backend_args), LocalBackend):
            _check_images(self.ann_file, paths)
        elif paths[0].startswith(shards.SCHEME):
            shards.find(paths[0])[0].check(paths, shards.local(self.ann_file))
        return rows

    def _read(self, path: str) -> COCO:
        _check_file(path)
        try:
            coco = _open(path)
            _check_rows(coco.dataset["categories"], _CATEGORY)
            ids = _ids(coco)
            images = coco.dataset["images"]
            unlabelled = self.test_mode and "annotations" not in coco.dataset
            rows = [] if unlabelled else coco.dataset["annotations"]
            _check_rows(images, _IMAGE)
            _check_rows(rows, _ANNOTATION)
            outside = [row["file_name"] for row in images if is_outside(str(row["file_name"]))]
            used = Counter(row["category_id"] for row in rows)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}: is not JSON: {first_line(error)}") from error
        except (KeyError, TypeError, AttributeError, AssertionError) as error:
            raise InputError(
                f"{path}: is not a COCO annotation file of images, annotations and categories "
                f"({type(error).__name__}: {error})"
            ) from error
        if outside:
            raise InputError(f"{path}: image outside its folder: {shorten(outside)}")
        stray = [category for category in used if category not in ids.values()]
        if stray:
            raise InputError(
                f"{path}: {sum(used[category] for category in stray)} annotations have the "
                f"category_id {stray[0]}, allowed are {shorten(sorted(ids.values()))}"
            )
        classes = self.metainfo["classes"]
        if not any(name in ids for name in classes):
            raise InputError(
                f"{path}: has the categories {shorten(list(ids))}, none of which is among the "
                f"config's classes {shorten(classes)}; set metainfo=dict(classes=(...)) in the "
                "datasets and num_classes in the head"
            )
        _check_names(path, classes, list(ids), strict=not self.test_mode)
        left = {name: used[ids[name]] for name in ids if name not in classes and used[ids[name]]}
        if left:
            print_log(
                f"{path}: {sum(left.values())} of {len(rows)} annotations are of categories that "
                f"are no class of the config: {shorten(list(left))}",
                "current",
            )
        # One id per class, in order. Missing classes get negative ids, which no annotation has.
        aligned = [ids.get(name, -1 - index) for index, name in enumerate(classes)]
        coco.get_cat_ids = lambda *_args, **_kwargs: aligned
        return coco


@METRICS.register_module()
class CocoMetric(HostMetric):
    """mmdet's CocoMetric; a class that the file lacks is left out, not an IndexError.

    Boxes are scored with faster-coco-eval where it is installed, else with pycocotools. The
    numbers are the same. An image that could not be read is left out; ``unreadable_images`` counts
    them. Without ``ann_file`` it takes that of the `CocoDataset`, in mmengine's own runner too.

    Raises:
        InputError: the annotation file has no annotations and ``format_only`` is False.
    """

    leaves_out = True  # images that are marked as unreadable

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self._check(options.get("ann_file"))

    @HostMetric.dataset_meta.setter
    def dataset_meta(self, meta: dict) -> None:
        self._dataset_meta = meta
        if self._coco_api is None and "ann_file" in (meta or {}):
            with get_local_path(meta["ann_file"], backend_args=meta["backend_args"]) as path:
                self._coco_api = COCO(path)
            self._check(meta["ann_file"])

    def _check(self, file: str | None) -> None:
        coco = self._coco_api
        if coco is not None and "annotations" not in coco.dataset and not self.format_only:
            raise InputError(
                f"{file}: has no annotations to score against; only a results "
                "file can be written, with format_only=True and outfile_prefix in the evaluator"
            )

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        for sample in data_samples:  # one that could not be read holds its place among processes
            if sample.get("unreadable"):
                self.results.append((None, sample["img_id"]))
            else:
                super().process(data_batch, [sample])

    def compute_metrics(self, results: list) -> dict[str, float]:
        lost = {image for gt, image in results if gt is None}
        results = [pair for pair in results if pair[0] is not None]
        if self._coco_api is not None:
            self.img_ids = [n for n in self._coco_api.get_img_ids() if n not in lost]
        count = {"unreadable_images": len(lost)} if lost else {}
        return self._scores(results) | count

    def _scores(self, results: list) -> dict[str, float]:
        if self._coco_api is not None:
            ids = _ids(self._coco_api)
            classes = self.dataset_meta["classes"]
            self.cat_ids = sorted(ids[name] for name in classes if name in ids)
            place = {category: index for index, category in enumerate(self.cat_ids)}
            labels = np.array([place.get(ids.get(name), -1) for name in classes])
            results = [(gt, _relabel(found, labels)) for gt, found in results]
        if not {"bbox", "proposal"}.issuperset(self.metrics):
            return super().compute_metrics(results)  # masks have not been compared
        with compat.fast_coco_evaluation(coco_metric):
            return super().compute_metrics(results)


_handed: dict[str, tuple[float, dict]] = {}


def hand_over(path: str, content: dict) -> None:
    """Give the content of a file to the `CocoDataset` that reads it next: it is large to read."""
    _handed[os.path.realpath(path)] = os.path.getmtime(path), content


def _open(path: str) -> COCO:
    changed, content = _handed.pop(os.path.realpath(path), (None, None))
    if content is None or os.path.getmtime(path) != changed:
        return COCO(path)
    coco = COCO()
    coco.dataset = content
    coco.createIndex()
    return coco


def _relabel(found: dict, labels: np.ndarray) -> dict:
    """Replace label i of the detections by ``labels[i]``; -1 drops a detection."""
    renamed = labels[found["labels"]]
    kept = renamed >= 0
    fields = {name: found[name][kept] for name in ("bboxes", "scores")}
    return {**found, **fields, "labels": renamed[kept]}


def _ids(coco: COCO) -> dict[str, int]:
    return {category["name"]: category["id"] for category in coco.dataset["categories"]}


def _check_names(path: str, classes: Sequence[str], known: Sequence[str], strict: bool) -> None:
    """Classes that the file lacks are an error, or a warning if not ``strict``."""
    lacking = [name for name in classes if name not in known and not name.startswith("(none ")]
    if not lacking:
        return
    free = {name.lower(): name for name in known if name not in classes}
    near = difflib.get_close_matches(lacking[0].lower(), free, 1)
    line = f"{path}: has no category '{lacking[0]}', which is a class of the config"
    line += f"; the nearest is '{free[near[0]]}'" if near else f", only {shorten(known)}"
    line += f"; {len(lacking) - 1} more classes are not there" if lacking[1:] else ""
    if strict:
        raise InputError(
            f"{line}; if no image shows it, add it to the file's categories or take it out of the "
            "classes"
        )
    print_log(line, "current", logging.WARNING)


def _check_images(annotations: str, paths: Sequence[str]) -> None:
    """List each folder once: a missing file would stop training during an epoch."""
    folders = {os.path.dirname(path) for path in paths}
    there = {path: _files(path) if os.path.isdir(path) else () for path in folders}
    missing = [path for path in paths if os.path.basename(path) not in there[os.path.dirname(path)]]
    if missing:
        raise InputError(
            f"{annotations}: {len(missing)} of {len(paths)} images are not there, "
            f"first {missing[0]}"
        )


def _files(folder: str) -> set[str]:
    """The names of a folder's files, without folders, named pipes and links to nothing."""
    with os.scandir(folder) as entries:
        return {entry.name for entry in entries if entry.is_file()}


def _check_rows(rows: Sequence[dict], kinds: Mapping) -> None:
    for row in rows:
        for key, kind in kinds.items():
            if not isinstance(row[key], kind):
                raise TypeError(f"{key} {row[key]!r:.40} of {row['id']}")
        if kinds is _ANNOTATION and [isinstance(n, Real) for n in row["bbox"]] != [True] * 4:
            raise TypeError(f"bbox {row['bbox']!r:.40} of annotation {row['id']}")


def _check_file(path: str) -> None:
    if "://" not in path and os.path.exists(path) and not os.path.isfile(path):
        raise InputError(f"{path}: must be a file")
