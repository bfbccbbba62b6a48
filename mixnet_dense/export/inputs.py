"""Real images as an exported file takes them."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.config import Config
from torch import Tensor

from mixnet_dense.engine.config import datasets
from mixnet_dense.errors import InputError
from mixnet_dense.export.graph import Description, Preprocess
from mixnet_dense.images import SUFFIXES, read_image


def of_split(config: Config, split: str, count: int) -> list[Path]:
    """Up to ``count`` image files of a config's dataset, evenly spread over it.

    Raises:
        InputError: its folder has none.
    """
    dataset = next(datasets(config, (split,)), None) or {}
    prefix = dataset.get("data_prefix") or {}
    folder = Path(dataset.get("data_root") or "") / (
        prefix.get("img") or prefix.get("img_path") or ""
    )
    paths = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in SUFFIXES]
    if not paths:
        raise InputError(f"{folder}: no images of the config's {split} set there")
    count = min(count, len(paths))
    return [paths[index * len(paths) // count] for index in range(count)]


def pixels(paths: Sequence[Path]) -> list[np.ndarray]:
    """Images (H, W, 3), blue first.

    Raises:
        InputError: one that cannot be read.
    """
    found = [read_image(path) for path in paths]
    broken = [str(path) for path, image in zip(paths, found, strict=True) if image is None]
    if broken:
        raise InputError(f"'{broken[0]}': cannot be read as an image")
    return found


def prepared(images: Sequence[np.ndarray], size: tuple[int, int], about: Description) -> Tensor:
    """Images (H, W, 3), blue first, as a file's input (N, 3, height, width) float32."""
    height, width = size
    batch = torch.from_numpy(cv2.dnn.blobFromImages(list(images), size=(width, height)))
    return batch if about.preprocess else Preprocess(about)(batch)
