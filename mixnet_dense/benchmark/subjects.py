"""What is timed: networks and config models in their forms, on made-up images."""

import copy
from collections.abc import Callable, Iterator

import torch
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData, PixelData
from torch import Tensor, nn

from mixnet_dense.backbones import set_algorithm
from mixnet_dense.backbones.classifier import NAMES, build_classifier
from mixnet_dense.engine.compiling import compile_backbone
from mixnet_dense.engine.config import load_config
from mixnet_dense.errors import InputError
from mixnet_dense.export import fuse
from mixnet_dense.registry import MODELS

REFERENCE = "reference"
_BOXES = 8  # of each made-up image


def build(name: str) -> nn.Module:
    """A backbone by its name, with SSDLite's taps, or the model of a config file.

    Raises:
        InputError: neither.
    """
    torch.manual_seed(0)
    if name in NAMES:
        model = build_classifier(name).backbone
    elif name.endswith(".py"):
        config = load_config(name)
        init_default_scope(config.get("default_scope", "mmdet"))
        model = revert_sync_batchnorm(MODELS.build(config.model))
    else:
        raise InputError(f"'{name}': must be a config file or one of {', '.join(NAMES)}")
    for module in model.modules():  # as mm would initialise, without its log
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
    return model


def reference(model: nn.Module) -> nn.Module:
    """Make a model compute as the plain form does: split convolutions, NCHW."""
    for module in model.modules():
        if hasattr(module, "channels_last"):
            module.channels_last = False
    return set_algorithm(model, "split")


def variants(name: str, mode: str, device: str, compiled: bool) -> Iterator[tuple[str, nn.Module]]:
    """The reference, the model as it is, fused for inference, and compiled if asked for."""
    yield REFERENCE, reference(build(name)).to(device)
    model = build(name).to(device)
    yield "model", model
    if mode == "inference":
        yield "fused", fuse(model)
    if compiled:
        other = fuse(model) if mode == "inference" else copy.deepcopy(model)
        yield "compiled", compile_backbone(other)


def runner(model: nn.Module, mode: str, images: Tensor, amp: bool) -> Callable[[], object]:
    """One forward pass, or one step's forward and backward pass, as a function.

    Args:
        model: see `build`.
        mode: ``'inference'`` or ``'train'``.
        images: (N, 3, H, W) normalised.
        amp: bfloat16 autocast on a CPU, float16 on a GPU.
    """
    whole = hasattr(model, "data_preprocessor")
    arguments = dict(mode="tensor") if whole else {}
    kind = images.device.type
    cast = torch.autocast(kind, torch.bfloat16 if kind == "cpu" else torch.float16, enabled=amp)
    if mode == "inference":
        model.eval()

        @torch.inference_mode()
        def forward():
            with cast:
                return model(images, **arguments)

        return forward
    model.train()
    samples = annotations(model, images) if whole else None

    def train():
        with cast:
            loss = _loss(model, images, samples)
        loss.backward()
        model.zero_grad()

    return train


def _loss(model: nn.Module, images: Tensor, samples) -> Tensor:
    if samples is None:
        return sum(tap.float().square().mean() for tap in model(images))
    losses = model(images, samples, mode="loss")
    return sum(value for name, value in losses.items() if "loss" in name)


def annotations(model: nn.Module, images: Tensor) -> list:
    """Boxes, or label maps, for whole models, the same ones each time."""
    height, width = images.shape[-2:]
    random = torch.Generator().manual_seed(0)
    meta = dict(img_shape=(height, width), batch_input_shape=(height, width), scale_factor=(1, 1))
    if hasattr(model, "decode_head"):
        from mmseg.structures import SegDataSample

        classes = model.decode_head.num_classes
        samples = [SegDataSample(metainfo=meta) for _ in images]
        for sample in samples:
            labels = torch.randint(classes, (1, height, width), generator=random)
            sample.gt_sem_seg = PixelData(data=labels.to(images.device))
        return samples
    from mmdet.structures import DetDataSample

    samples = [DetDataSample(metainfo=meta) for _ in images]
    for sample in samples:
        sample.gt_instances = boxes(height, width, model.bbox_head.num_classes, random)
        sample.gt_instances = sample.gt_instances.to(images.device)
    return samples


def boxes(height: int, width: int, classes: int, random: torch.Generator) -> InstanceData:
    """Eight boxes of 5 to 60 % of the image's sides, with labels."""
    size = 0.05 + 0.55 * torch.rand(_BOXES, 2, generator=random)
    corner = (1 - size) * torch.rand(_BOXES, 2, generator=random)
    scale = torch.tensor([width, height, width, height])
    labels = torch.randint(classes, (_BOXES,), generator=random)
    return InstanceData(bboxes=torch.cat([corner, corner + size], 1) * scale, labels=labels)
