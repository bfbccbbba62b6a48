"""SSDLite's loss compared with the loss of mmdet's SSDHead on the same tensors."""

import torch
from mmdet.models.dense_heads import SSDHead
from torch import Tensor

from mixnet_dense.benchmark.subjects import REFERENCE, Runners, annotations, build, host_config
from mixnet_dense.det import SSDLiteHead
from mixnet_dense.errors import InputError

_THEIRS = "ssd/ssdlite_mobilenetv2-scratch_8xb24-600e_coco.py"


class _OurAnchors:
    """The anchors of our head, with the interface that mmdet's head needs."""

    def __init__(self, generator, image: tuple[int, int]):
        self.generator, self.image = generator, image
        self.num_base_priors, self.num_levels = generator.num_base_priors, generator.num_levels

    def grid_priors(self, sizes, device="cpu"):
        anchors = self.generator.anchors(sizes, self.image, device)
        counts = [h * w * n for (h, w), n in zip(sizes, self.num_base_priors, strict=True)]
        return list(anchors.split(counts))

    def valid_flags(self, sizes, pad_shape, device="cpu"):
        levels = self.grid_priors(sizes, device)
        return [torch.ones(len(level), dtype=torch.bool, device=device) for level in levels]


def mmdet_head(head: SSDLiteHead, image: tuple[int, int]) -> SSDHead:
    """The head of mmdet's SSDLite config, with the anchors, classes and matching rules of ours.

    Args:
        head: ours.
        image: (H, W) of the network's input.

    Raises:
        InputError: this mmdet carries no configs.
    """
    theirs = host_config("mmdet", _THEIRS).model
    rules = theirs.train_cfg
    rules.assigner.pos_iou_thr = rules.assigner.neg_iou_thr = head.train_cfg["iou_threshold"]
    rules.neg_pos_ratio = head.train_cfg["neg_pos_ratio"]
    settings = dict(theirs.bbox_head)
    del settings["type"]
    settings.update(
        num_classes=head.num_classes,
        in_channels=head.in_channels,
        anchor_generator=dict(type=_OurAnchors, generator=head.prior_generator, image=image),
        train_cfg=rules,
    )
    return SSDHead(**settings)


def runners(name: str, images: Tensor) -> Runners:
    """The losses of both heads for random outputs and eight boxes an image, as functions.

    Args:
        name: config file of an SSDLite detector.
        images: (N, 3, H, W); only its shape and device count.

    Raises:
        InputError: the model is not an SSDLite detector.
    """
    model = build(name).to(images.device).eval()
    head = getattr(model, "bbox_head", None)
    if not isinstance(head, SSDLiteHead):
        raise InputError(f"'{name}': --mode loss is for configs of SSDLite detectors")
    with torch.no_grad():
        maps = model(images, mode="tensor")
    outputs = [[torch.randn_like(level).requires_grad_() for level in kind] for kind in maps]
    samples = annotations(model, images)
    truth = [sample.gt_instances for sample in samples]
    metas = [sample.metainfo for sample in samples]
    theirs = mmdet_head(head, tuple(images.shape[-2:]))
    yield REFERENCE, lambda: theirs.loss_by_feat(*outputs, truth, metas)
    yield "model", lambda: head.loss_by_feat(*outputs, truth, metas)
