"""What is timed: networks and the models of configs, on random images."""

import copy
from collections.abc import Callable, Iterator

import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData, PixelData
from torch import Tensor, nn

from mixnet_dense.backbones.algorithms import set_algorithm, set_channels_last
from mixnet_dense.backbones.blocks import ConvNormAct
from mixnet_dense.backbones.classifier import NAMES, build_classifier
from mixnet_dense.engine.compiling import compile_backbone
from mixnet_dense.engine.config import load_config, slips_named
from mixnet_dense.engine.gpu import has_bfloat16
from mixnet_dense.errors import InputError
from mixnet_dense.export import fuse
from mixnet_dense.registry import MODELS
from mixnet_dense.shipped import find_config

Runners = Iterator[tuple[str, Callable[[], object]]]
"""Variants of a model by name, each as a function without arguments that does the work once."""

REFERENCE = "reference"
_BOXES = 8  # of each image


def build(name: str) -> nn.Module:
    """A backbone by its name, with SSDLite's taps, or the model of a config.

    Its random weights are always the same, and keep the maps' values in a normal range.

    Raises:
        InputError: neither.
    """
    if find_config(name):
        return build_model(load_config(name))
    if name not in NAMES:
        raise InputError(f"'{name}': must be a config or one of {', '.join(NAMES)}")
    torch.manual_seed(0)
    return _randomised(build_classifier(name).backbone)


def build_model(config: Config) -> nn.Module:
    """The model of a config as `build` makes it.

    Raises:
        InputError: the config names what there is not.
    """
    torch.manual_seed(0)
    init_default_scope(config.get("default_scope", "mmdet"))
    with slips_named("config"):
        model = revert_sync_batchnorm(MODELS.build(config.model))
    model.cfg = config
    return _randomised(model)


def _randomised(model: nn.Module) -> nn.Module:
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
    return model


def reference(model: nn.Module) -> nn.Module:
    """Make a model compute as timm does: split convolutions, NCHW, activations in place."""
    for module in model.modules():
        if isinstance(module, ConvNormAct) and hasattr(module.act, "inplace"):
            module.act.inplace = True
    return set_algorithm(set_channels_last(model, False), "split")


def runners(
    name: str, mode: str, images: Tensor, amp: bool = False, compiled: bool = False
) -> Runners:
    """The reference, the model as it is, fused for inference, and compiled if asked for.

    Args:
        name: see `build`.
        mode: ``'inference'`` for a forward pass, ``'train'`` for one forward and backward.
        images: (N, 3, H, W) normalised.
        amp: as in a training: in bfloat16, on a GPU without it in float16; not for the reference.
        compiled: adds a variant.
    """
    models = {REFERENCE: reference(build(name)), "model": build(name)}
    if mode == "inference":
        models["fused"] = fuse(models["model"])
    if compiled:
        models["compiled"] = compile_backbone(
            copy.deepcopy(models.get("fused", models["model"])), frozen=mode == "inference"
        )
    for variant, model in models.items():
        model.to(images.device).train(mode == "train")
        yield variant, passes(model, images, amp and variant != REFERENCE)


def passes(model: nn.Module, images: Tensor, amp: bool) -> Callable[[], object]:
    """A forward pass as a function; in training mode with the backward pass."""
    whole, kind = hasattr(model, "data_preprocessor"), images.device.type
    half = torch.bfloat16 if kind == "cpu" or has_bfloat16() else torch.float16
    cast = torch.autocast(kind, half, enabled=amp)
    arguments = dict(mode="tensor") if whole else {}

    @torch.inference_mode()
    def forward():
        with cast:
            return model(images, **arguments)

    samples = annotations(model, images) if whole and model.training else None

    def step():
        with cast:
            if samples:
                loss, _ = model.parse_losses(model(images, samples, mode="loss"))
            else:
                loss = sum(tap.float().square().mean() for tap in model(images))
        loss.backward()
        model.zero_grad()

    return step if model.training else forward


def annotations(model: nn.Module, images: Tensor) -> list:
    """Data samples for whole models, the same ones each time.

    A detector gets eight boxes an image, of 5 to 60 % of its sides; a segmenter gets label maps.
    """
    size = tuple(images.shape[-2:])
    meta = dict(img_shape=size, batch_input_shape=size, pad_shape=size, scale_factor=(1, 1))
    random = torch.Generator().manual_seed(0)
    if hasattr(model, "decode_head"):
        from mmseg.structures import SegDataSample

        classes = model.decode_head.num_classes
        maps = torch.randint(classes, (len(images), 1, *size), generator=random)
        found = [PixelData(data=labels) for labels in maps.to(images.device)]
        return [SegDataSample(metainfo=meta, gt_sem_seg=labels) for labels in found]
    from mmdet.structures import DetDataSample

    sides = 0.05 + 0.55 * torch.rand(len(images), _BOXES, 2, generator=random)
    corners = (1 - sides) * torch.rand(sides.shape, generator=random)
    boxes = torch.cat([corners, corners + sides], -1) * torch.tensor(size[::-1] * 2)
    labels = torch.randint(model.bbox_head.num_classes, boxes.shape[:2], generator=random)
    found = [InstanceData(bboxes=b, labels=n) for b, n in zip(boxes, labels, strict=True)]
    return [DetDataSample(metainfo=meta, gt_instances=o.to(images.device)) for o in found]
