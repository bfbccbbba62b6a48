"""Predict images: write a picture of each, and one file of all results."""

from collections.abc import Sequence
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope
from mmengine.utils import track_iter_progress
from torch import nn

from mixnet_dense.engine.config import image_pipeline, input_files, slips_named
from mixnet_dense.engine.results import Results, annotated_ids
from mixnet_dense.errors import InputError
from mixnet_dense.files import check_writable, write_json
from mixnet_dense.images import picture_names, read_image


def predict(
    config: Config, model: nn.Module, images: Sequence[Path], out: str, score: float = 0.3
) -> list[dict]:
    """Detect or segment, draw and write.

    Args:
        config: its test set's pipeline prepares the images; it is not changed.
        model: with trained weights, see `config.open_model`.
        images: files.
        out: folder for one picture per image, under its own name, and for
            ``predictions.json``, see `results.Results`. Ids are those of the test set's
            annotation file, if it exists. The ``image_id`` of any other image is its name,
            as a number if the name is one.
        score: boxes with a lower score are not drawn; the file has all boxes.

    Returns:
        The rows of ``predictions.json``.

    Raises:
        InputError: some images cannot be read; raised after all others are done.
    """
    target = str(Path(out) / "predictions.json")
    check_writable(target, input_files(config))
    pictures = picture_names(images, Path(out))
    image_ids, known = annotated_ids(config)
    categories = known and [known.get(name) for name in model.dataset_meta["classes"]]
    describe = Results(model.dataset_meta, categories, score)
    prepare = _preparation(config)
    rows, broken = [], []
    for path in track_iter_progress(list(images)):
        if isinstance(wrong := read_image(path), str):
            broken.append(f"{path}: {wrong}")
            continue
        name = int(path.stem) if path.stem.isdigit() else path.stem
        image = prepare(dict(img_path=str(path), img_id=image_ids.get(path.resolve(), name)))
        with torch.no_grad():
            (sample,) = model.test_step({key: [value] for key, value in image.items()})
        rows += describe(sample, path, pictures[path])
    if len(broken) < len(images):
        write_json(target, rows)
    if broken:
        raise InputError(f"{len(broken)} of {len(images)} not readable: {', '.join(broken[:5])}")
    return rows


def _preparation(config: Config) -> Compose:
    """The test set's pipeline, for files of this machine wherever the test set lies."""
    steps = image_pipeline(config)
    local = [dict(step, backend_args=None) if "backend_args" in step else step for step in steps]
    init_default_scope(config.get("default_scope", "mmdet"))
    with slips_named("config"):
        return Compose(local)
