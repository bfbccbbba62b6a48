"""A host's model whose network is an exported file.

mmdet's and mmseg's own preprocessing, prediction, sliding windows, test-time augmentation and
metrics run unchanged. Only backbone and head are replaced, by the small modules below.
"""

import copy
import zipfile

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mixnet_dense.backbones.blocks import upsample
from mixnet_dense.errors import InputError
from mixnet_dense.export.description import Description
from mixnet_dense.export.formats import format_of
from mixnet_dense.export.sessions import Session
from mixnet_dense.export.verification import rows_of
from mixnet_dense.registry import MODELS

Outputs = dict[str, Tensor]


def is_exported(path: str) -> bool:
    """Whether a checkpoint argument names an exported file.

    The suffix decides; only for ``.pt``, which `torch.save` writes too, the content decides.
    """
    if format_of(path) != "torchscript":
        return format_of(path) is not None
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def exported_model(config: Config, path: str) -> nn.Module:
    """The config's detector or segmenter with an exported file for its network.

    Args:
        config: of the model; it is not changed.
        path: an exported file of that model.

    Returns:
        The model in eval mode with ``dataset_meta`` and ``cfg``. Its file runs on the CPU.

    Raises:
        InputError: see `Session`; or the file is of another model.
    """
    session = Session(path)
    about = session.about
    wanted = copy.deepcopy(config.model)
    if about.preprocess:  # then the host must not
        for name in ("mean", "std", "bgr_to_rgb", "rgb_to_bgr"):
            wanted.data_preprocessor.pop(name, None)
    if about.padded:
        wanted.data_preprocessor.pad_val = about.pad_value
    init_default_scope(config.get("default_scope", "mmdet"))
    model = MODELS.build(wanted)
    _check(model, about, path)
    model.backbone, model.neck = ExportedNetwork(session), None
    if about.task == "detection":
        model.bbox_head = ExportedBoxHead(about, model.bbox_head)
    else:
        model.decode_head = ExportedDecodeHead(about, model.decode_head.threshold)
    model.cfg, model.dataset_meta = config, dict(classes=tuple(about.classes))
    if about.palette:  # tuples, for drawing
        model.dataset_meta["palette"] = [tuple(colour) for colour in about.palette]
    return model.eval()


def _check(model: nn.Module, about: Description, path: str) -> None:
    task = "detection" if hasattr(model, "bbox_head") else "segmentation"
    if about.task != task:
        raise InputError(f"'{path}': is for {about.task}, the config's model is for {task}")
    found = len(about.classes)
    wanted = (model.bbox_head if task == "detection" else model.decode_head).num_classes
    if found != wanted:
        raise InputError(f"'{path}': has {found} classes, the config's model {wanted}")


class ExportedNetwork(nn.Module):
    """A file as a backbone: images (N, 3, H, W) to named outputs, logits resized to (H, W)."""

    def __init__(self, session: Session):
        super().__init__()
        self._session = session

    def forward(self, images: Tensor) -> Outputs:
        values = self._session(images.cpu().numpy())
        found = {name: torch.from_numpy(each).to(images.device) for name, each in values.items()}
        if "logits" in found:
            align = self._session.about.align_corners
            found["logits"] = upsample(found["logits"], images.shape[-2:], align)
        return found


class ExportedBoxHead(nn.Module):
    """``predict`` of mmdet's heads; ``head`` is the model's, which decodes raw outputs."""

    def __init__(self, about: Description, head: nn.Module | None):
        super().__init__()
        self.num_classes, self._about, self._head = len(about.classes), about, head

    def predict(self, found: Outputs, batch_data_samples, rescale=False) -> list[InstanceData]:
        metas = [sample.metainfo for sample in batch_data_samples]
        if self._about.end_to_end:
            return [self._rows(found, image, meta, rescale) for image, meta in enumerate(metas)]
        maps = list(found.values())
        scores, deltas = maps[: len(maps) // 2], maps[len(maps) // 2 :]
        return self._head.predict_by_feat(scores, deltas, batch_img_metas=metas, rescale=rescale)

    def _rows(self, found: Outputs, image: int, meta: dict, rescale: bool) -> InstanceData:
        rows = rows_of(found, image, self._about.suppression["max_per_img"])
        boxes = found["boxes"][rows]
        if rescale:  # to pixels of the original image
            boxes = boxes / boxes.new_tensor(tuple(meta["scale_factor"]) * 2)
        scores, labels = found["scores"][rows], found["labels"][rows]
        return InstanceData(bboxes=boxes, scores=scores, labels=labels)


class ExportedDecodeHead(nn.Module):
    """``predict`` of mmseg's heads; mmseg reads ``threshold`` of a head with one class."""

    def __init__(self, about: Description, threshold: float | None = None):
        super().__init__()
        self.num_classes, self.threshold = len(about.classes), threshold

    def predict(self, found: Outputs, batch_img_metas, test_cfg) -> Tensor:
        """Logits (N, classes, H, W); 1 and 0 where the file gives class numbers."""
        if "logits" in found:
            return found["logits"]
        labels = found["labels"].long()
        return nn.functional.one_hot(labels, self.num_classes).permute(0, 3, 1, 2).float()
