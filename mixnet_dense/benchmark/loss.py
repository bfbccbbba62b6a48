"""SSDLite's loss beside that of mmdet's SSDHead on the same tensors."""

from collections.abc import Callable, Iterator

import torch
from mmdet.models.dense_heads import SSDHead
from torch import Tensor, nn

from mixnet_dense.backbones.algorithms import in_layout_of
from mixnet_dense.benchmark.subjects import REFERENCE, boxes, build
from mixnet_dense.det import SSDLiteHead
from mixnet_dense.errors import InputError

# What mmdet's head needs to be built; ours take their place.
_ANCHORS = dict(
    type="SSDAnchorGenerator",
    scale_major=False,
    input_size=320,
    strides=[16, 32, 64, 107, 160, 320],
    ratios=[[2]] + [[2, 3]] * 5,
    min_sizes=[32] * 6,
    max_sizes=[64] * 6,
)


class _OurAnchors:
    """The anchors of our head under the names that mmdet's asks for."""

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
    """mmdet's SSDHead with the anchors, classes and matching rules of ours.

    Args:
        head: ours.
        image: (H, W) of the network's input.
    """
    assigner = dict(
        type="MaxIoUAssigner",
        pos_iou_thr=head.train_cfg["iou_threshold"],
        neg_iou_thr=head.train_cfg["iou_threshold"],
        min_pos_iou=0.0,
        ignore_iof_thr=-1,
        gt_max_assign_all=False,
    )
    theirs = SSDHead(
        num_classes=head.num_classes,
        in_channels=head.in_channels,
        use_depthwise=True,
        norm_cfg=dict(type="BN"),
        act_cfg=dict(type="ReLU6"),
        anchor_generator=_ANCHORS,
        bbox_coder=dict(type="DeltaXYWHBBoxCoder", target_stds=(0.1, 0.1, 0.2, 0.2)),
        train_cfg=dict(
            assigner=assigner,
            sampler=dict(type="PseudoSampler"),
            smoothl1_beta=1.0,
            allowed_border=-1,
            pos_weight=-1,
            neg_pos_ratio=head.train_cfg["neg_pos_ratio"],
            debug=False,
        ),
    )
    theirs.prior_generator = _OurAnchors(head.prior_generator, image)
    return theirs


def runners(name: str, images: Tensor) -> Iterator[tuple[str, Callable[[], dict]]]:
    """The losses of both heads for made-up outputs and eight boxes an image, as functions.

    Args:
        name: config file of an SSDLite detector.
        images: (N, 3, H, W); only its shape and device count.

    Raises:
        InputError: another model.
    """
    model = build(name).eval()
    head = getattr(model, "bbox_head", None)
    if not isinstance(head, SSDLiteHead):
        raise InputError(f"'{name}': --mode loss is for configs of SSDLite detectors")
    size = tuple(images.shape[-2:])
    random = torch.Generator().manual_seed(0)
    outputs = [
        [_like(level, len(images), random).to(images.device) for level in kind]
        for kind in _maps(model, size)
    ]
    truth = [boxes(*size, head.num_classes, random).to(images.device) for _ in images]
    metas = [dict(img_shape=size, batch_input_shape=size, pad_shape=size) for _ in images]
    theirs = mmdet_head(head, size)
    yield REFERENCE, lambda: theirs.loss_by_feat(*outputs, truth, metas)
    yield "model", lambda: head.loss_by_feat(*outputs, truth, metas)


@torch.no_grad()
def _maps(model: nn.Module, size: tuple[int, int]):
    return model(torch.zeros(1, 3, *size), mode="tensor")


def _like(level: Tensor, count: int, random: torch.Generator) -> Tensor:
    values = torch.randn(count, *level.shape[1:], generator=random)
    return in_layout_of(level, values).requires_grad_()
