"""A model's results as rows of ``predictions.json`` and as pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.structures import BaseDataElement
from PIL import Image

from mixnet_dense.engine.config import datasets
from mixnet_dense.errors import InputError
from mixnet_dense.files import read_json, written_whole
from mixnet_dense.images import mask_name, read_image
from mixnet_dense.weights.catalogue import COCO_GAPS


class Results:
    """Describes and draws a detector's or segmenter's data samples.

    A detector gives a row per box in the form that ``COCO.loadRes`` reads: ``image_id``,
    ``category_id``, ``bbox`` (x, y, width, height in pixels) and ``score``, and also
    ``file_name`` and ``category``, the class name. A segmenter gives a row per image: the
    share of the pixels of each class, and the names of the picture, if it is drawn, and of
    ``masks/NAME.png``, a palette image of class numbers.

    Args:
        meta: ``classes``, and ``palette`` if there is one.
        categories: the annotation file's id of each class, None for a class that it lacks; by
            default COCO's ids for COCO's 80 classes, 1, 2, 3 … for any others.
        score: boxes with a lower score are not drawn.
    """

    def __init__(
        self, meta: Mapping, categories: Sequence[int | None] | None = None, score: float = 0.3
    ):
        self._meta, self._score = dict(meta), score
        self._categories = categories or coco_ids(meta["classes"])

    def __call__(self, sample: BaseDataElement, path: Path, picture: Path | None) -> list[dict]:
        """Return the rows of the image at ``path``, and draw it to ``picture``, if given.

        The host's visualizer draws boxes, or label maps: the annotated map, if there is one,
        and to its right the predicted map.
        """
        if "pred_sem_seg" in sample:
            return [self._map(sample.cpu(), path, picture)]
        if "pred_instances" not in sample:
            raise InputError(f"{path}: the model gives neither boxes nor a label map")
        if picture:
            from mmdet.visualization import DetLocalVisualizer

            options = dict(pred_score_thr=self._score, draw_gt=False)
            self._draw(DetLocalVisualizer(name="boxes"), sample.cpu(), path, picture, options)
        found = sample.pred_instances
        rows = zip(found.bboxes.tolist(), found.scores.tolist(), found.labels.tolist(), strict=True)
        return [
            dict(
                image_id=sample.img_id,
                file_name=str(path),
                category_id=self._categories[label],
                category=self._meta["classes"][label],
                bbox=[x1, y1, x2 - x1, y2 - y1],
                score=score,
            )
            for (x1, y1, x2, y2), score, label in rows
        ]

    def _map(self, sample: BaseDataElement, path: Path, picture: Path | None) -> dict:
        classes = self._meta["classes"]
        labels = sample.pred_sem_seg.data[0].numpy().astype(np.uint8)
        shares = np.bincount(labels.ravel(), minlength=len(classes)) / labels.size
        named = {
            name: round(share, 5) for name, share in zip(classes, shares.tolist(), strict=True)
        }
        row = dict(file_name=str(path), shares={name: s for name, s in named.items() if s})
        if not picture:
            return row
        from mmseg.visualization import SegLocalVisualizer

        self._meta = with_palette(self._meta)
        mask = mask_name(picture)
        with written_whole(mask) as partial:
            palette_image(labels, self._meta).save(partial)
        self._draw(SegLocalVisualizer(name="maps", alpha=0.55), sample, path, picture, {})
        return row | dict(picture=picture.name, mask=f"masks/{mask.name}")

    def _draw(self, visualizer, sample, path: Path, picture: Path, options: Mapping) -> None:
        if not is_main_process():  # of several processes only the first draws: mm's own rule
            return
        visualizer.dataset_meta = self._meta
        image = read_image(path)[..., ::-1]
        with written_whole(picture) as partial:
            visualizer.add_datasample("", image, sample, out_file=str(partial), **options)


def with_palette(meta: Mapping) -> dict:
    """A dataset's ``metainfo`` with a colour for each class, drawn by lot if there is none."""
    classes = meta["classes"]
    if len(meta.get("palette") or ()) == len(classes):
        return dict(meta)
    lots = np.random.default_rng(0).integers(0, 256, (len(classes), 3))
    return dict(meta, palette=list(map(tuple, lots.tolist())))


def palette_image(labels: np.ndarray, meta: Mapping) -> Image.Image:
    """Class numbers (H, W) as an image in the classes' colours; other numbers are black."""
    image = Image.fromarray(labels.astype(np.uint8))
    image.putpalette(np.uint8(with_palette(meta)["palette"]).tobytes())
    return image


def coco_ids(classes: Sequence[str]) -> list[int]:
    """COCO's ids for COCO's 80 classes, 1, 2, 3 … for any others."""
    if len(classes) == 80 and classes[0] == "person" and classes[-1] == "toothbrush":
        return [number for number in range(1, 91) if number not in COCO_GAPS]
    return list(range(1, len(classes) + 1))


def annotated_ids(config: Config) -> tuple[dict[Path, int], dict[str, int]]:
    """Image ids by resolved path, category ids by name, of the test set's annotation file.

    Both are empty if that file is not on this disk or not in COCO's format.

    Raises:
        InputError: the file is not JSON, or not in COCO's format.
    """
    for dataset in datasets(config, ("test",)):
        root = Path(dataset.get("data_root") or "")
        file = root / (dataset.get("ann_file") or "")
        content = read_json(file) if file.suffix == ".json" and file.is_file() else {}
        if "images" not in content or "categories" not in content:
            continue
        folder = root / (dataset.get("data_prefix") or {}).get("img", "")
        try:
            images = {(folder / row["file_name"]).resolve(): row["id"] for row in content["images"]}
            return images, {row["name"]: row["id"] for row in content["categories"]}
        except (KeyError, TypeError) as error:
            raise InputError(
                f"{file}: is not a COCO annotation file ({type(error).__name__}: {error})"
            ) from error
    return {}, {}
