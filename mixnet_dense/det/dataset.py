"""COCO annotations whose class names are those that the labels stand for."""

import json
from collections.abc import Sequence

from mmdet.datasets import CocoDataset as HostDataset
from mmdet.datasets.api_wrappers import COCO
from mmengine.logging import print_log

from mixnet_dense.cli import InputError
from mixnet_dense.registry import DATASETS


@DATASETS.register_module()
class CocoDataset(HostDataset):
    """mmdet's CocoDataset with labels, names and file kept in step.

    mmdet numbers labels in the order of the annotation file, whatever the order or number
    of ``classes``, and takes a file without any of them for one without objects. Here the
    names follow the file, and that is said; a file with none of them is refused.

    Raises:
        InputError: the annotation file is not JSON, has no categories, or none that is
            among the classes.
    """

    def load_data_list(self) -> list[dict]:
        self.COCOAPI = self._read
        try:
            return super().load_data_list()
        finally:
            del self.COCOAPI

    def _read(self, path: str) -> COCO:
        try:
            coco = COCO(path)
            in_file = [category["name"] for category in coco.dataset["categories"]]
            coco.dataset["images"], coco.dataset["annotations"]  # noqa: B018  both must be there
        except json.JSONDecodeError as error:
            raise InputError(f"{path}: is not JSON: {error}") from error
        except (KeyError, TypeError, AssertionError) as error:
            raise InputError(
                f"{path}: is not a COCO annotation file of images, annotations and categories "
                f"({type(error).__name__}: {error})"
            ) from error
        classes = self.metainfo["classes"]
        found = tuple(name for name in in_file if name in classes)
        if not found:
            raise InputError(
                f"{path}: has the categories {_shorten(in_file)}, none of which is among the "
                f"config's classes {_shorten(classes)}; set metainfo=dict(classes=(...)) in the "
                "datasets and num_classes in the head"
            )
        if found != tuple(classes):
            print_log(f"{path}: the classes are {_shorten(found)}", "current")
            self._metainfo["classes"] = found
        return coco


def _shorten(names: Sequence[str]) -> str:
    shown = ", ".join(names[:6])
    return shown if len(names) <= 6 else f"{shown}, … ({len(names)})"
