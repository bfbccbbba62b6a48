"""A detector's boxes as pictures and COCO results."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmdet.apis import inference_detector
from mmdet.structures import DetDataSample
from mmdet.visualization import DetLocalVisualizer
from torch import nn

from mixnet_dense.weights.catalogue import COCO_GAPS


def category_ids(classes: Sequence[str]) -> list[int]:
    """COCO's ids for COCO's 80 classes, 1, 2, 3 … for any others."""
    if len(classes) == 80 and classes[0] == "person" and classes[-1] == "toothbrush":
        return [number for number in range(1, 91) if number not in COCO_GAPS]
    return list(range(1, len(classes) + 1))


class Boxes:
    """Finds the boxes of an image, draws them, and returns them as COCO results.

    In a row ``image_id`` is the number in the file's name if it is one, else the name;
    ``file_name`` is the path as given; boxes are x, y, width, height in pixels.

    Args:
        model: with ``dataset_meta``, see `predict.load_model`.
        score: boxes below it are not drawn.
    """

    def __init__(self, model: nn.Module, score: float):
        self._model, self._score = model, score
        self._visualizer = DetLocalVisualizer(name="predict")
        self._visualizer.dataset_meta = model.dataset_meta

    def __call__(self, path: Path, image: np.ndarray, picture: Path) -> list[dict]:
        """Of the image (H, W, 3), blue first, read from ``path``."""
        found = inference_detector(self._model, image).pred_instances.cpu()
        self._visualizer.add_datasample(
            "predict",
            image[..., ::-1],
            DetDataSample(pred_instances=found),
            draw_gt=False,
            pred_score_thr=self._score,
            out_file=str(picture),
        )
        return _rows(path, found, self._model.dataset_meta["classes"])


def _rows(path: Path, found, classes: Sequence[str]) -> list[dict]:
    ids = category_ids(classes)
    image_id = int(path.stem) if path.stem.isdigit() else path.stem
    rows = []
    for (x1, y1, x2, y2), score, label in zip(
        found.bboxes.tolist(), found.scores.tolist(), found.labels.tolist(), strict=True
    ):
        box = [round(value, 2) for value in (x1, y1, x2 - x1, y2 - y1)]
        rows.append(
            dict(
                image_id=image_id,
                file_name=str(path),
                category_id=ids[label],
                category=classes[label],
                bbox=box,
                score=round(score, 5),
            )
        )
    return rows
