"""Exported files in place of a model's network, for the hosts' own evaluation and drawing."""

import torch
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mixnet_dense.errors import InputError
from mixnet_dense.export.formats import format_of
from mixnet_dense.export.graph import Description
from mixnet_dense.export.sessions import Session


def is_exported(path: str) -> bool:
    """Whether a checkpoint argument names an exported file."""
    return format_of(path) is not None


def attach(model: nn.Module, path: str) -> dict:
    """Have an exported file compute what a model's network would.

    Preprocessing, decoding and metrics stay the host's, as far as they are not in the file.

    Args:
        model: as the config builds it, on the CPU; changed in place.
        path: an exported file of that config's model.

    Returns:
        ``dataset_meta`` with class names and palette, as a checkpoint's ``meta`` has it.

    Raises:
        InputError: see `Session`; or the file is of another model.
    """
    session = Session(path)
    about = session.about
    _check(model, about, path)
    if about.preprocess:
        model.data_preprocessor._channel_conversion = False
        model.data_preprocessor._enable_normalize = False
    model.backbone, model.neck = nn.Identity(), None
    if about.task == "detection":
        _attach_detector(model, session)
    else:
        model.encode_decode = lambda images, metas: _logits(session, images)
    meta = dict(classes=tuple(about.classes))
    if about.palette:
        meta["palette"] = [tuple(colour) for colour in about.palette]  # not lists, for drawing
    return dict(dataset_meta=meta)


def _check(model: nn.Module, about: Description, path: str) -> None:
    task = "detection" if hasattr(model, "bbox_head") else "segmentation"
    if about.task != task:
        raise InputError(f"'{path}': is for {about.task}, the config's model is for {task}")
    head = model.bbox_head if task == "detection" else model.decode_head
    if len(about.classes) != head.num_classes:
        raise InputError(
            f"'{path}': has {len(about.classes)} classes, the config's model {head.num_classes}"
        )


def _attach_detector(model: nn.Module, session: Session) -> None:
    head = model.bbox_head
    if session.about.end_to_end:
        limit = session.about.suppression["max_per_img"]

        def predict(found, samples, rescale=False):
            metas = [sample.metainfo for sample in samples]
            return [
                detections(found, index, meta, rescale, limit) for index, meta in enumerate(metas)
            ]

        model.extract_feat = lambda images: _run(session, images)
        head.predict = predict
        return

    def maps(images: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        found = list(_run(session, images).values())
        return found[: len(found) // 2], found[len(found) // 2 :]

    model.extract_feat = maps
    head.forward = lambda found: found


def _run(session: Session, images: Tensor) -> dict[str, Tensor]:
    found = session(images.cpu().numpy())
    return {name: torch.from_numpy(value) for name, value in found.items()}


def detections(found, index: int, meta: dict, rescale: bool, limit: int) -> InstanceData:
    """An image's rows, in pixels of the original image if wanted."""
    rows = (found["image"] == index).nonzero()[:limit, 0]
    boxes = found["boxes"][rows]
    if rescale:
        boxes = boxes / boxes.new_tensor(tuple(meta["scale_factor"]) * 2)
    return InstanceData(bboxes=boxes, scores=found["scores"][rows], labels=found["labels"][rows])


def _logits(session: Session, images: Tensor) -> Tensor:
    """Logits (N, classes, H, W); of a file that gives labels, 1 for those and 0 for others."""
    found = _run(session, images)
    if "logits" in found:
        return nn.functional.interpolate(
            found["logits"], size=images.shape[-2:], mode="bilinear", align_corners=False
        )
    labels = found["labels"].long()
    return nn.functional.one_hot(labels, len(session.about.classes)).permute(0, 3, 1, 2).float()
