"""Predict images with PyTorch or with an exported file, by the same call."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import BaseDataElement
from torch import nn
from torch.nn.functional import interpolate

from mixnet_dense.backbones.blocks import upsample
from mixnet_dense.errors import InputError
from mixnet_dense.export.description import Description, describe
from mixnet_dense.export.graph import network_input
from mixnet_dense.export.hosted import (
    ExportedBoxHead,
    ExportedDecodeHead,
    ExportedNetwork,
    is_exported,
)
from mixnet_dense.export.sessions import Session
from mixnet_dense.registry import MODELS
from mixnet_dense.weights.load import load_model


def load(path: str, config: Config | None = None, threads: int | None = None) -> "Predictor":
    """Make a predictor of an exported file, or of a checkpoint and its config.

    Args:
        path: what `tools/export.py` wrote, or a checkpoint.
        config: of a checkpoint; an exported file knows its own.
        threads: on the CPU; None leaves it to the runtime.

    Raises:
        InputError: see `Session`, `load_model` and `describe`; a checkpoint without a config.
    """
    if is_exported(path):
        return of_session(Session(path, threads))
    if config is None:
        raise InputError(f"'{path}': a checkpoint needs its config, load(path, config)")
    if threads:
        torch.set_num_threads(threads)
    return of_model(load_model(config, path).cpu())


def of_model(model: nn.Module, size: tuple[int, int] | None = None) -> "Predictor":
    """A predictor of a model on the CPU; ``size`` replaces that of the test pipeline."""
    head = getattr(model, "bbox_head", None) or model.decode_head
    return Predictor(model.extract_feat, head, describe(model, size=size))


def of_session(session: Session) -> "Predictor":
    """A predictor of an exported file. Only raw outputs of detectors need mmdet."""
    about = session.about
    if about.task == "segmentation":
        return Predictor(ExportedNetwork(session), ExportedDecodeHead(about), about)
    decoder = None
    if not about.end_to_end:
        init_default_scope("mmdet")
        decoder = MODELS.build(Config(dict(model=about.model)).model).bbox_head
    return Predictor(ExportedNetwork(session), ExportedBoxHead(about, decoder), about)


class Predictor:
    """Detects or segments images; see `load`.

    Attributes:
        about: task, class names, input size and so on.
    """

    def __init__(self, network: Callable, head: nn.Module, about: Description):
        self.about, self._network, self._head = about, network, head

    def __call__(self, images):
        """Results of one image, or a list of results of a list.

        Args:
            images: (H, W, 3) uint8, BGR, as OpenCV reads it, of any size; or a list, which
                runs as one batch if all images are resized to one size.

        Returns:
            Of a detector an `InstanceData`: ``bboxes`` (n, 4) in pixels of the image,
            ``scores`` (n,), ``labels`` (n,) into ``about.classes``, by decreasing score. Of a
            segmenter a uint8 tensor (H, W) of class numbers.

        Raises:
            InputError: the file is for one size, and the config's test pipeline would
                resize an image to another because it keeps the ratio.
        """
        if isinstance(images, np.ndarray):
            return self([images])[0]
        sizes = [self.about.input_size(image.shape[:2]) for image in images]
        if len(set(sizes)) == 1:
            return self._predict(images, sizes[0])
        return [self._predict([image], s)[0] for image, s in zip(images, sizes, strict=True)]

    @torch.inference_mode()
    def _predict(self, images: Sequence[np.ndarray], size: tuple[int, int]) -> list:
        batch = network_input(images, size, self.about)
        found = self._network(batch)
        shapes = [image.shape[:2] for image in images]
        (height, width), padded = size, tuple(batch.shape[-2:])
        common = dict(img_shape=size, batch_input_shape=padded, pad_shape=padded)
        metas = [dict(common, scale_factor=(width / w, height / h)) for h, w in shapes]
        if self.about.task == "detection":
            samples = [BaseDataElement(metainfo=meta) for meta in metas]
            return self._head.predict(found, samples, rescale=True)
        if isinstance(found, dict) and "labels" in found:  # resized by nearest neighbour
            maps = found["labels"][:, None, :height, :width].float()
            results = [interpolate(maps[i : i + 1], shape)[:, 0] for i, shape in enumerate(shapes)]
        else:
            maps = self._head.predict(found, metas, None)[..., :height, :width]
            align = self.about.align_corners
            parts = (upsample(maps[i : i + 1], shape, align) for i, shape in enumerate(shapes))
            results = [part.argmax(1) for part in parts]
        return [result[0].to(torch.uint8) for result in results]
