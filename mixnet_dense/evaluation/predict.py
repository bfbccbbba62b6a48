"""Detections of images: pictures with boxes, and one file of COCO results."""

import glob
from collections.abc import Sequence
from pathlib import Path

import cv2
import mmcv
from mmdet.apis import inference_detector
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import init_default_scope
from mmengine.utils import track_iter_progress
from torch import nn

from mixnet_dense.cli import InputError
from mixnet_dense.files import check_writable, write_json
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
            names = sorted(glob.glob(pattern, recursive=True))
            images = [Path(name) for name in names if Path(name).is_file()]
        if not images:
            kinds = ", ".join(sorted(_SUFFIXES))
            raise InputError(f"{pattern}: no image there (files, folders or globs of {kinds})")
        found.extend(images)
    return list(dict.fromkeys(found))


def load_detector(config: Config, checkpoint: str) -> nn.Module:
    """The config's detector with the weights and class names of a checkpoint, in eval mode.

    It lies on the GPU where there is one.
    """
    init_default_scope(config.get("default_scope", "mmdet"))
    model = MODELS.build(config.model)
    meta = load_weights(model, checkpoint)
    model.dataset_meta = meta.get("dataset_meta") or {}
    if "classes" not in model.dataset_meta:
        raise InputError(f"checkpoint '{checkpoint}': has no class names (meta.dataset_meta)")
    model.cfg = config
    return model.to(get_device()).eval()


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
            name if it is one, else the name; ``file_name`` is the path as given; boxes
            x, y, width, height in pixels).
        score: boxes below it are not drawn; the file has all.

    Returns:
        The rows of ``predictions.json``.

    Raises:
        InputError: after all readable images are done, naming those that are not.
    """
    results = str(Path(out) / "predictions.json")
    check_writable(results)
    pictures = _picture_names(images, Path(out))
    model = load_detector(config, checkpoint)
    draw = _drawer(model, score)
    rows, broken = [], []
    for path in track_iter_progress(list(images)):
        image = _read(path)
        if image is None:
            broken.append(str(path))
            continue
        found = inference_detector(model, image).pred_instances.cpu()
        rows += _rows(path, found, model.dataset_meta["classes"])
        draw(image[..., ::-1], found, str(pictures[path]))
    write_json(results, rows)
    if broken:
        raise InputError(f"{len(broken)} of {len(images)} not readable: {', '.join(broken[:5])}")
    return rows


def _picture_names(images: Sequence[Path], out: Path) -> dict[Path, Path]:
    """Where each picture goes: its own name, numbered where two folders share it.

    Raises:
        InputError: a picture would replace one of the images.
    """
    names, used = {}, set()
    for path in images:
        name, number = path.name, 1
        while name in used:
            number += 1
            name = f"{path.stem}_{number}{path.suffix}"
        used.add(name)
        names[path] = out / name
    given = {path.resolve() for path in images}
    for picture in names.values():
        if picture.resolve() in given:
            raise InputError(f"--out {out}: would replace the image {picture}")
    return names


def _read(path: Path):
    """Pixels (H, W, 3), blue first, or None if the file is no image."""
    try:
        return mmcv.imread(str(path))
    except (cv2.error, OSError):
        return None


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
