"""Predictions of images: pictures, and one file of what was found."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from mmengine.config import Config
from mmengine.utils import track_iter_progress
from torch import nn

from mixnet_dense.errors import InputError
from mixnet_dense.export.hosted import exported_model, is_exported
from mixnet_dense.files import check_writable, write_json
from mixnet_dense.images import picture_names, read_image
from mixnet_dense.weights.load import load_model


def predict(
    config: Config,
    checkpoint: str,
    images: Sequence[Path],
    out: str,
    score: float = 0.3,
    annotated: Mapping[Path, np.ndarray] | None = None,
) -> list[dict]:
    """Detect or segment, draw and write.

    Args:
        config, checkpoint: see `load_model`.
        images: files.
        out: folder for one picture per image, under its own name, and for
            ``predictions.json``: of a detector see `boxes.Boxes`, of a segmenter see
            `masks.Masks`, which also writes ``masks/``.
        score: boxes below it are not drawn; the file has all.
        annotated: label maps (H, W) to draw beside what a segmenter finds.

    Returns:
        The rows of ``predictions.json``.

    Raises:
        InputError: after all readable images are done, naming those that are not.
    """
    results = str(Path(out) / "predictions.json")
    check_writable(results)
    pictures = picture_names(images, Path(out))
    model = (exported_model if is_exported(checkpoint) else load_model)(config, checkpoint)
    find = _finder(model, score, annotated or {})
    rows, broken = [], []
    try:
        for path in track_iter_progress(list(images)):
            image = read_image(path)
            if image is None:
                broken.append(str(path))
            else:
                rows += find(path, image, pictures[path])
        write_json(results, rows)
    except OSError as error:
        raise InputError(f"--out {out}: cannot be written: {error.strerror or error}") from error
    if broken:
        raise InputError(f"{len(broken)} of {len(images)} not readable: {', '.join(broken[:5])}")
    return rows


def _finder(model: nn.Module, score: float, annotated: Mapping[Path, np.ndarray]):
    """What finds, draws and describes: of a segmenter `Masks`, of a detector `Boxes`."""
    if hasattr(model, "decode_head"):
        from mixnet_dense.engine.draw_masks import Masks

        return Masks(model, annotated)
    from mixnet_dense.engine.draw_boxes import Boxes

    return Boxes(model, score)
