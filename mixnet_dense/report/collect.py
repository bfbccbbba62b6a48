"""Collects in a test loop what a report needs of each image."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from mmengine.dist import collect_results
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mixnet_dense.engine.evaluate import category_ids
from mixnet_dense.engine.results import Results, palette_image
from mixnet_dense.files import written_whole
from mixnet_dense.images import mask_name, picture_names
from mixnet_dense.report import segmentation


class Collector(Hook):
    """Writes the label maps of a segmenter to ``masks/`` of a folder; keeps all else.

    Attributes:
        dataset: the test set.
        rows: of ``predictions.json``, see `results.Results`.
        images: a `detection.Photo` or `segmentation.Map` of each image.

    The last two are filled after the loop, with each image once, on the main process only.
    """

    def __init__(self, folder: Path):
        self._folder, self._parts = folder, []
        self.dataset, self.rows, self.images = None, [], []

    def before_test_epoch(self, runner: Runner) -> None:
        self.dataset = dataset = runner.test_loop.dataloader.dataset
        self._ids = category_ids(dataset)
        self._describe = Results(dataset.metainfo, self._ids)
        self._infos = {
            info["img_path"]: info for info in map(dataset.get_data_info, range(len(dataset)))
        }
        self._masks = picture_names([Path(path) for path in self._infos], self._folder)
        scorers = (getattr(metric, "_coco_api", None) for metric in runner.test_evaluator.metrics)
        self._coco = next(filter(None, scorers), None) if self._ids else None

    def after_test_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        for sample in (sample.cpu() for sample in outputs):
            if "unreadable" in sample:
                self._parts.append(([], None))
                continue
            rows = self._describe(sample, Path(sample.img_path), None)
            if "pred_sem_seg" in sample:
                self._parts.append((rows, self._map(sample, rows[0])))
            else:
                self._parts.append((rows, self._photo(sample)))

    def after_test_epoch(self, runner: Runner, metrics=None) -> None:
        parts = collect_results(self._parts, len(self.dataset), "cpu")
        for rows, image in parts or []:
            self.rows += rows
            if image is not None:  # it could not be read
                self.images.append(image)

    def _map(self, sample, row: dict) -> segmentation.Map:
        found, annotated = (
            getattr(sample, name).data[0].numpy() for name in ("pred_sem_seg", "gt_sem_seg")
        )
        mask = mask_name(self._masks[Path(sample.img_path)])
        with written_whole(mask) as partial:
            palette_image(found, self.dataset.metainfo).save(partial)
        row["mask"] = f"masks/{mask.name}"
        return segmentation.count(
            row["file_name"], annotated, found, len(self.dataset.metainfo["classes"])
        )

    def _photo(self, sample):
        from mixnet_dense.report.detection import Photo  # needs mmdet, segmenters do without

        boxes = list(self._annotated(self._infos[sample.img_path]))
        corners, labels, areas, crowd = zip(*boxes, strict=True) if boxes else [()] * 4
        found = sample.pred_instances[sample.pred_instances.scores.argsort(descending=True)]
        return Photo(
            file=sample.img_path,
            size=tuple(sample.ori_shape),
            boxes=np.array(corners, float).reshape(-1, 4),
            labels=np.array(labels, int),
            areas=np.array(areas, float),
            crowd=np.array(crowd, bool),
            found=found.bboxes.double().numpy(),
            scores=found.scores.double().numpy(),
            found_labels=found.labels.numpy(),
            input=tuple(sample.get("batch_input_shape", sample.img_shape)),
            scale=tuple(sample.scale_factor),
        )

    def _annotated(self, info: Mapping) -> Iterator[tuple]:
        """Corners, label, area and whether it is a crowd, as the metric or the data set reads it.

        Only the annotation file has areas other than those of the boxes.
        """
        if not self._coco:
            for row in info["instances"]:
                x1, y1, x2, y2 = row["bbox"]
                yield row["bbox"], row["bbox_label"], (x2 - x1) * (y2 - y1), row["ignore_flag"]
            return
        for row in self._coco.imgToAnns[info["img_id"]]:
            if row["category_id"] in self._ids:
                x, y, width, height = row["bbox"]
                label, area = self._ids.index(row["category_id"]), row.get("area", width * height)
                yield (x, y, x + width, y + height), label, area, row.get("iscrowd", 0)
