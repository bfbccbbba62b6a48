"""One call for images, whatever computes: PyTorch or an exported file's own runtime."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mixnet_dense.engine.predict import load_model
from mixnet_dense.errors import InputError
from mixnet_dense.export.graph import Description, describe
from mixnet_dense.export.hosted import detections, is_exported
from mixnet_dense.export.inputs import prepared
from mixnet_dense.export.sessions import Session
from mixnet_dense.registry import MODELS


def load(path: str, config: Config | None = None, threads: int | None = None) -> "Predictor":
    """Make a predictor of an exported file, or of a checkpoint and its config.

    Args:
        path: what `tools/export.py` wrote, or a checkpoint.
        config: of a checkpoint; an exported file knows its own.
        threads: on the CPU; None leaves it to the backend.

    Raises:
        InputError: see `Session` and `evaluation.predict.load_model`; a checkpoint without a
            config.
    """
    if is_exported(path):
        session = Session(path, threads)
        return Predictor(session, session.about)
    if config is None:
        raise InputError(f"'{path}': a checkpoint needs its config, load(path, config)")
    if threads:
        torch.set_num_threads(threads)
    model = load_model(config, path).cpu()
    options = dict(size=None, batch=None, preprocess=False, end_to_end=False)
    about = describe(config, model, **options)
    return Predictor(eager(model, about), about)


def eager(model: nn.Module, about: Description) -> Callable[[np.ndarray], dict]:
    """A model of mmdet or mmseg as it is, called as a `Session` of its raw graph is."""

    @torch.inference_mode()
    def run(images: np.ndarray) -> dict[str, np.ndarray]:
        found = model(torch.from_numpy(images), mode="tensor")
        found = [found] if isinstance(found, Tensor) else [*found[0], *found[1]]
        return {name: value.numpy() for name, value in zip(about.outputs, found, strict=True)}

    return run


class Predictor:
    """Detects or segments images; see `load`.

    Attributes:
        about: task, class names, input size and so on.
    """

    def __init__(self, run: Callable[[np.ndarray], Mapping[str, np.ndarray]], about: Description):
        self.about, self._run = about, run
        if about.task == "detection" and not about.end_to_end:
            init_default_scope("mmdet")
            head = {**about.model["bbox_head"], "test_cfg": dict(about.suppression)}
            self._head = MODELS.build(head).eval()

    def __call__(self, images):
        """Results of one image, or a list of results of a list.

        Args:
            images: (H, W, 3) uint8, blue first, as OpenCV reads it, of any size; or a list.

        Returns:
            Of a detector an `InstanceData`: ``bboxes`` (n, 4) in pixels of the image,
            ``scores`` (n,), ``labels`` (n,) into ``about.classes``, by falling score. Of a
            segmenter a uint8 tensor (H, W) of class numbers.
        """
        if isinstance(images, np.ndarray):
            return self([images])[0]
        about = self.about
        if about.height is None and about.resized is None:  # each has its own size
            return [self._predict([image], image.shape[:2])[0] for image in images]
        size = tuple(about.resized) if about.height is None else (about.height, about.width)
        return self._predict(images, size)

    @torch.inference_mode()
    def _predict(self, images: Sequence[np.ndarray], size: tuple[int, int]) -> list:
        found = self._run(prepared(images, size, self.about).numpy())
        found = {name: torch.from_numpy(value) for name, value in found.items()}
        shapes = [image.shape[:2] for image in images]
        if self.about.task == "segmentation":
            return [_labels(found, index, size, shape) for index, shape in enumerate(shapes)]
        return self._boxes(found, size, shapes)

    def _boxes(self, found: Mapping[str, Tensor], size, shapes) -> list[InstanceData]:
        metas = [
            dict(
                img_shape=size,
                batch_input_shape=size,
                scale_factor=(size[1] / width, size[0] / height),
            )
            for height, width in shapes
        ]
        if self.about.end_to_end:
            limit = self.about.suppression["max_per_img"]
            return [detections(found, i, meta, True, limit) for i, meta in enumerate(metas)]
        maps = list(found.values())
        half = len(maps) // 2
        return self._head.predict_by_feat(
            maps[:half], maps[half:], batch_img_metas=metas, rescale=True
        )


def _labels(found: Mapping[str, Tensor], index: int, size, shape) -> Tensor:
    """An image's class numbers in its own size."""
    if "labels" in found:
        labels = found["labels"][index]
        if tuple(labels.shape) == tuple(shape):
            return labels
        resized = nn.functional.interpolate(labels[None, None].float(), tuple(shape))
        return resized[0, 0].to(torch.uint8)
    logits = found["logits"][index : index + 1]
    for target in dict.fromkeys((tuple(size), tuple(shape))):
        logits = nn.functional.interpolate(
            logits, size=target, mode="bilinear", align_corners=False
        )
    return logits.argmax(1)[0].to(torch.uint8)
