"""How other libraries name the modules of our networks: rules over the tables.

A rule is our module name and theirs. A grouped 1x1 convolution of ours is several
convolutions there, concatenated along the outputs. Every rule works in both directions.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from mixnet_dense.backbones.arch import Block, Network, last_at_stride


@dataclass(frozen=True)
class Change:
    """What turns the tensors of their modules into ours, and ours into theirs."""

    there: Callable[[Sequence[Tensor]], Tensor] = torch.cat
    back: Callable[[Tensor, int], Sequence[Tensor]] = torch.chunk


_WEIGHT, _BIASED = ("weight",), ("weight", "bias")
COUNT = "num_batches_tracked"  # old checkpoints lack it; it decides nothing at inference
_NORM = ("weight", "bias", "running_mean", "running_var", COUNT)


@dataclass(frozen=True)
class Rule:
    """One module: our name, theirs, its tensors, and how they change.

    ``outputs`` is the length its tensors must have, where classes decide it.
    """

    ours: str
    theirs: list[str]
    leaves: tuple[str, ...] = _WEIGHT
    change: Change = field(default=Change())
    outputs: int | None = None


def _conv_norm(ours: str, conv: list[str] | str, norm: str) -> Iterator[Rule]:
    yield Rule(f"{ours}.conv", [conv] if isinstance(conv, str) else conv)
    yield Rule(f"{ours}.bn", [norm], _NORM)


def _biased(ours: str, theirs: str) -> Rule:
    return Rule(ours, [theirs], _BIASED)


# ------------------------------------------------------------------------ timm


def _stages(table: Network) -> Iterator[tuple[int, int, Block]]:
    """Stage, place in it, and block; a stage is a run of equal output channels."""
    stage, place, channels = -1, 0, None
    for block in table.blocks:
        stage, place = (stage, place + 1) if block.out_channels == channels else (stage + 1, 0)
        channels = block.out_channels
        yield stage, place, block


def timm(table: Network) -> Iterator[Rule]:
    """timm's EfficientNet family."""
    yield from _conv_norm("stem", "conv_stem", "bn1")
    stage = 0
    for index, (stage, place, block) in enumerate(_stages(table)):
        yield from _timm_block(block, f"blocks.{index}", f"blocks.{stage}.{place}")
    if table.hidden:  # MobileNetV3: the last convolution is one more stage
        yield from _conv_norm("last", f"blocks.{stage + 1}.0.conv", f"blocks.{stage + 1}.0.bn1")
        yield _biased("hidden.0", "conv_head")
    elif table.last:
        yield from _conv_norm("last", "conv_head", "bn2")
    yield _biased("classifier", "classifier")


def _timm_block(block: Block, ours: str, theirs: str) -> Iterator[Rule]:
    if block.expands:
        expand = _split(f"{theirs}.conv_pw", block.expand_groups)
        yield from _conv_norm(f"{ours}.expand", expand, f"{theirs}.bn1")
    for index, kernel in enumerate(_split(f"{theirs}.conv_dw", len(block.kernels))):
        yield Rule(f"{ours}.depthwise.conv.{index}", [kernel])
    yield Rule(f"{ours}.depthwise.bn", [f"{theirs}.bn{1 + block.expands}"], _NORM)
    if block.squeeze:
        yield _biased(f"{ours}.se.reduce", f"{theirs}.se.conv_reduce")
        yield _biased(f"{ours}.se.expand", f"{theirs}.se.conv_expand")
    project = _split(f"{theirs}.conv_pw{'l' * block.expands}", block.project_groups)
    yield from _conv_norm(f"{ours}.project", project, f"{theirs}.bn{2 + block.expands}")


def _split(name: str, parts: int) -> list[str]:
    return [name] if parts == 1 else [f"{name}.{part}" for part in range(parts)]


# ----------------------------------------------------------------- torchvision


_LINEAR = Change(
    lambda parts: parts[0][..., None, None] if parts[0].dim() == 2 else parts[0],
    lambda ours, _: [ours.flatten(1) if ours.dim() == 4 else ours],
)
"""A linear layer there is a 1x1 convolution here."""


def torchvision_v2(table: Network) -> Iterator[Rule]:
    """torchvision's MobileNetV2."""
    yield from _sequential("stem", "features.0")
    for index, block in enumerate(table.blocks):
        theirs = f"features.{index + 1}.conv"
        if block.expands:
            yield from _sequential(f"blocks.{index}.expand", f"{theirs}.0")
        place = int(block.expands)
        yield from _depthwise(f"blocks.{index}", f"{theirs}.{place}.0", f"{theirs}.{place}.1")
        project = f"{theirs}.{place + 1}", f"{theirs}.{place + 2}"
        yield from _conv_norm(f"blocks.{index}.project", *project)
    yield from _sequential("last", f"features.{len(table.blocks) + 1}")
    yield _biased("classifier", "classifier.1")


def flat_v2(table: Network) -> Iterator[Rule]:
    """MobileNetV2 of github.com/tonylins/pytorch-mobilenet-v2 and what came from it."""
    yield from _sequential("stem", "features.0")
    for index, block in enumerate(table.blocks):
        theirs, place = f"features.{index + 1}.conv", 0
        if block.expands:
            yield from _conv_norm(f"blocks.{index}.expand", f"{theirs}.0", f"{theirs}.1")
            place = 3
        yield from _depthwise(f"blocks.{index}", f"{theirs}.{place}", f"{theirs}.{place + 1}")
        project = f"{theirs}.{place + 3}", f"{theirs}.{place + 4}"
        yield from _conv_norm(f"blocks.{index}.project", *project)
    yield from _sequential("last", f"features.{len(table.blocks) + 1}")
    yield _biased("classifier", "classifier")


def torchvision_v3(table: Network) -> Iterator[Rule]:
    """torchvision's MobileNetV3."""
    yield from _sequential("stem", "features.0")
    for index, block in enumerate(table.blocks):
        yield from _torchvision_block(block, f"blocks.{index}", f"features.{index + 1}.block")
    yield from _sequential("last", f"features.{len(table.blocks) + 1}")
    yield Rule("hidden.0", ["classifier.0"], _BIASED, _LINEAR)
    yield _biased("classifier", "classifier.3")


def torchvision_ssdlite(table: Network) -> Iterator[Rule]:
    """The whole detector; its backbone is cut in two inside the block of C4."""
    first = last_at_stride(table, 16) + 1
    yield from _sequential("backbone.stem", "backbone.features.0.0")
    for index, block in enumerate(table.blocks):
        if index < first:
            theirs = f"backbone.features.0.{index + 1}.block"
        else:
            theirs = f"backbone.features.1.{index - first}" + (".block" if index > first else "")
        for rule in _torchvision_block(block, f"backbone.blocks.{index}", theirs):
            yield _in_first_half(rule, theirs, first) if index == first else rule
    count = len(table.blocks) - first
    yield from _sequential("backbone.last", f"backbone.features.1.{count}")
    for index in range(4):
        ours, theirs = f"neck.extra_layers.{index}", f"backbone.extra.{index}"
        yield from _sequential(f"{ours}.0", f"{theirs}.0")
        yield from _sequential(f"{ours}.1.depthwise_conv", f"{theirs}.1")
        yield from _sequential(f"{ours}.1.pointwise_conv", f"{theirs}.2")
    for level in range(6):
        for kind, name in (("cls", "classification"), ("reg", "regression")):
            ours = f"bbox_head.{kind}_convs.{level}"
            theirs = f"head.{name}_head.module_list.{level}"
            yield from _sequential(f"{ours}.0", f"{theirs}.0")
            rolled = kind == "cls"
            change = Change(background_last, background_first) if rolled else Change()
            outputs = _ANCHORS * (COCO_SLOTS if rolled else 4)
            yield Rule(f"{ours}.1", [f"{theirs}.1"], _BIASED, change, outputs)


def torchvision_lraspp(table: Network) -> Iterator[Rule]:
    """The whole segmenter."""
    yield from _sequential("backbone.stem", "backbone.0")
    for index, block in enumerate(table.blocks):
        theirs = f"backbone.{index + 1}.block"
        yield from _torchvision_block(block, f"backbone.blocks.{index}", theirs)
    yield from _sequential("backbone.last", f"backbone.{len(table.blocks) + 1}")
    yield from _sequential("decode_head.project", "classifier.cbr")
    yield Rule("decode_head.gate.0", ["classifier.scale.1"])
    for ours, theirs in (("low_seg", "low_classifier"), ("conv_seg", "high_classifier")):
        name = [f"classifier.{theirs}"]
        yield Rule(f"decode_head.{ours}", name, _BIASED, outputs=VOC_CLASSES)


def _depthwise(ours: str, conv: str, norm: str) -> Iterator[Rule]:
    yield Rule(f"{ours}.depthwise.conv.0", [conv])
    yield Rule(f"{ours}.depthwise.bn", [norm], _NORM)


def _sequential(ours: str, theirs: str) -> Iterator[Rule]:
    return _conv_norm(ours, f"{theirs}.0", f"{theirs}.1")


def _in_first_half(rule: Rule, theirs: str, first: int) -> Rule:
    """The expansion of the block of C4 ends the backbone's first half."""
    start, end = f"{theirs}.0.", f"backbone.features.0.{first + 1}."
    theirs = [(name + ".").replace(start, end)[:-1] for name in rule.theirs]
    return replace(rule, theirs=theirs)


def _torchvision_block(block: Block, ours: str, theirs: str) -> Iterator[Rule]:
    place = 0
    if block.expands:
        yield from _sequential(f"{ours}.expand", f"{theirs}.{place}")
        place += 1
    yield from _depthwise(ours, f"{theirs}.{place}.0", f"{theirs}.{place}.1")
    if block.squeeze:
        place += 1
        yield _biased(f"{ours}.se.reduce", f"{theirs}.{place}.fc1")
        yield _biased(f"{ours}.se.expand", f"{theirs}.{place}.fc2")
    yield from _sequential(f"{ours}.project", f"{theirs}.{place + 1}")


_ANCHORS = 6  # at each place of each map
COCO_SLOTS = 91  # torchvision's, the background among them
COCO_CLASSES = 80
VOC_CLASSES = 21  # the background among them


def background_last(parts: Sequence[Tensor]) -> Tensor:
    """Class outputs (anchors * 91, …): torchvision's slot 0, background, becomes the last."""
    return _roll_slots(parts[0], -1)


def background_first(ours: Tensor, _count: int) -> list[Tensor]:
    """The way back."""
    return [_roll_slots(ours, 1)]


def _roll_slots(outputs: Tensor, by: int) -> Tensor:
    """Raises ValueError where the outputs are not of 91 slots."""
    if len(outputs) % COCO_SLOTS:
        raise ValueError(f"{len(outputs)} class outputs are not a multiple of {COCO_SLOTS} slots")
    slots = outputs.reshape(-1, COCO_SLOTS, *outputs.shape[1:])
    return slots.roll(by, 1).reshape(outputs.shape)


# -------------------------------------------------------------------- OpenMMLab


def mm_v2(block_names: tuple[str, str, str] | None) -> Callable[[Network], Iterator[Rule]]:
    """MobileNetV2 of mmpretrain, mmdet and mmseg, without the ``backbone.`` in front.

    Args:
        block_names: of a block's three convolutions; None where they are numbered.
    """

    def rules(table: Network) -> Iterator[Rule]:
        yield from _module("stem", "conv1")
        for index, (stage, place, block) in enumerate(_stages(table)):
            ours, theirs = f"blocks.{index}", f"layer{stage + 1}.{place}"
            numbered = [f"conv.{at}" for at in range(2 + block.expands)]
            names = list(block_names or numbered)[-2 - block.expands :]
            if block.expands:
                yield from _module(f"{ours}.expand", f"{theirs}.{names[0]}")
            yield from _depthwise(
                ours, *(f"{theirs}.{names[-2]}.{part}" for part in ("conv", "bn"))
            )
            yield from _module(f"{ours}.project", f"{theirs}.{names[-1]}")
        yield from _module("last", "conv2")

    return rules


def mm_v3(table: Network) -> Iterator[Rule]:
    """MobileNetV3 of mmpretrain and mmseg, without the ``backbone.`` in front."""
    yield from _module("stem", "layer0")
    for index, block in enumerate(table.blocks):
        ours, theirs = f"blocks.{index}", f"layer{index + 1}"
        if block.expands:
            yield from _module(f"{ours}.expand", f"{theirs}.expand_conv")
        names = (f"{theirs}.depthwise_conv.{part}" for part in ("conv", "bn"))
        yield from _depthwise(ours, *names)
        if block.squeeze:
            yield _biased(f"{ours}.se.reduce", f"{theirs}.se.conv1.conv")
            yield _biased(f"{ours}.se.expand", f"{theirs}.se.conv2.conv")
        yield from _module(f"{ours}.project", f"{theirs}.linear_conv")
    yield from _module("last", f"layer{len(table.blocks) + 1}")


def mmdet_ssdlite(table: Network) -> Iterator[Rule]:
    """mmdet's whole SSDLite-MobileNetV2; its neck and head have our names."""
    for rule in mm_v2(("expand_conv", "depthwise_conv", "linear_conv"))(table):
        theirs = [f"backbone.{name}" for name in rule.theirs]
        yield replace(rule, ours=f"backbone.{rule.ours}", theirs=theirs)
    for index in range(4):
        for part in ("0", "1.depthwise_conv", "1.pointwise_conv"):
            name = f"neck.extra_layers.{index}.{part}"
            yield from _module(name, name)
    for level in range(6):
        for kind in ("cls", "reg"):
            name = f"bbox_head.{kind}_convs.{level}"
            yield from _module(f"{name}.0", f"{name}.0")
            outputs = _ANCHORS * (COCO_CLASSES + 1 if kind == "cls" else 4)
            yield Rule(f"{name}.1", [f"{name}.1"], _BIASED, outputs=outputs)


def _module(ours: str, theirs: str) -> Iterator[Rule]:
    """mmcv's ConvModule."""
    return _conv_norm(ours, f"{theirs}.conv", f"{theirs}.bn")
