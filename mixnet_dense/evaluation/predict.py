"""Detections of images: pictures with boxes, and one file of COCO results."""

import glob
from collections.abc import Sequence
from pathlib import Path

import mmcv
from mmdet.apis import inference_detector
from mmengine.config import Config, ConfigDict
from mmengine.registry import init_default_scope
from mmengine.utils import track_iter_progress
from torch import nn

from mixnet_dense.cli import InputError
from mixnet_dense.registry import MODELS
from mixnet_dense.weights.load import load_weights

_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}
# COCO's 80 classes carry the ids 1 to 90 with these left out.
_COCO_GAPS = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}


def find_images(patterns: Sequence[str]) -> list[Path]:
    """Files, the images of folders, and what globs match, each once, in order.

    Raises:
        InputError: a path that does not exist, or a folder or glob without an image.
    """
    found = []
    for pattern in patterns:
        path = Path(pattern)
        if path.is_dir():
            images = sorted(p for p in path.iterdir() if p.suffix.lower() in _SUFFIXES)
        elif path.is_file():
            images = [path]
        else:
            images = [Path(name) for name in sorted(glob.glob(pattern, recursive=True))]
        if not images:
            kinds = ", ".join(sorted(_SUFFIXES))
            raise InputError(f"{pattern}: no image there (files, folders or globs of {kinds})")
        found.extend(images)
    return list(dict.fromkeys(found))


def first_images(dataset: ConfigDict, count: int) -> list[Path]:
    """The first images of a dataset config's image folder."""
    folder = Path(dataset.get("data_root") or "") / dataset.data_prefix.img
    return find_images([str(folder)])[:count]


def load_detector(config: Config, checkpoint: str) -> nn.Module:
    """The config's detector with the weights and class names of a checkpoint, in eval mode."""
    init_default_scope(config.get("default_scope", "mmdet"))
    model = MODELS.build(config.model)
    meta = load_weights(model, checkpoint)
    model.dataset_meta = meta.get("dataset_meta") or {}
    if "classes" not in model.dataset_meta:
        raise InputError(f"checkpoint '{checkpoint}': has no class names (meta.dataset_meta)")
    model.cfg = config
    return model.eval()


def category_ids(classes: Sequence[str]) -> list[int]:
    """COCO's ids for COCO's 80 classes, 1, 2, 3 … for any others."""
    if len(classes) == 80 and classes[0] == "person" and classes[-1] == "toothbrush":
        return [number for number in range(1, 91) if number not in _COCO_GAPS]
    return list(range(1, len(classes) + 1))


def predict(
    config: Config,
    checkpoint: str,
    images: Sequence[Path],
    out: str,
    score: float = 0.3,
) -> list[dict]:
    """Detect, draw and write.

    Args:
        config, checkpoint: see `load_detector`.
        images: files.
        out: folder for one picture per image, under its own name, and for
            ``predictions.json``: COCO results (``image_id`` is the number in the file's
            name if it is one, else the name; boxes x, y, width, height in pixels).
        score: boxes below it are not drawn; the file has all.

    Returns:
        The rows of ``predictions.json``.

    Raises:
        InputError: after all readable images are done, naming those that are not.
    """
    from mixnet_dense.evaluation.run import check_writable, write_json

    results = str(Path(out) / "predictions.json")
    check_writable(results)
    model = load_detector(config, checkpoint)
    draw = _drawer(model, score)
    rows, broken = [], []
    for number, path in enumerate(track_iter_progress(list(images))):
        image = mmcv.imread(str(path))  # (H, W, 3), blue first; None if not readable
        if image is None:
            broken.append(str(path))
            continue
        found = inference_detector(model, image).pred_instances.cpu()
        rows += _rows(path, found, model.dataset_meta["classes"])
        name = (
            path.name
            if path.name not in {p.name for p in images[:number]}
            else (f"{path.stem}_{number}{path.suffix}")
        )
        draw(image[..., ::-1], found, str(Path(out) / name))
    write_json(results, rows)
    if broken:
        raise InputError(f"{len(broken)} of {len(images)} not readable: {', '.join(broken[:5])}")
    return rows


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
                file_name=path.name,
                category_id=ids[label],
                category=classes[label],
                bbox=box,
                score=round(score, 5),
            )
        )
    return rows


def _drawer(model: nn.Module, score: float):
    """``(image, instances, file)``: write the picture with boxes, names and scores."""
    from mmdet.structures import DetDataSample
    from mmdet.visualization import DetLocalVisualizer

    visualizer = DetLocalVisualizer(name="predict")
    visualizer.dataset_meta = model.dataset_meta

    def draw(image, instances, file: str) -> None:
        sample = DetDataSample(pred_instances=instances)
        visualizer.add_datasample(
            "predict", image, sample, draw_gt=False, pred_score_thr=score, out_file=file
        )

    return draw
