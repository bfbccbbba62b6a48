"""How other libraries name the modules of our networks: rules over the tables.

A rule is our module name and theirs. A grouped 1x1 convolution of ours is several
convolutions there, concatenated along the outputs.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mixnet_dense.backbones import tables
from mixnet_dense.backbones.arch import Block, Network, halve_tail, last_at_stride


@dataclass(frozen=True)
class Rule:
    """One module: our name, theirs, and what turns their tensors into ours."""

    ours: str
    theirs: list[str]
    change: object = field(default=torch.cat)


def _conv_norm(ours: str, conv: list[str] | str, norm: str) -> Iterator[Rule]:
    yield Rule(f"{ours}.conv", [conv] if isinstance(conv, str) else conv)
    yield Rule(f"{ours}.bn", [norm])


# ------------------------------------------------------------------------ timm


def timm(table: Network) -> Iterator[Rule]:
    """timm's EfficientNet family; a stage is a run of equal output channels."""
    yield from _conv_norm("stem", "conv_stem", "bn1")
    stage, place, channels = -1, 0, None
    for index, block in enumerate(table.blocks):
        stage, place = (stage, place + 1) if block.out_channels == channels else (stage + 1, 0)
        channels = block.out_channels
        yield from _timm_block(block, f"blocks.{index}", f"blocks.{stage}.{place}")
    if table.hidden:  # MobileNetV3: the last convolution is one more stage
        yield from _conv_norm("last", f"blocks.{stage + 1}.0.conv", f"blocks.{stage + 1}.0.bn1")
        yield Rule("hidden.0", ["conv_head"])
    elif table.last:
        yield from _conv_norm("last", "conv_head", "bn2")
    yield Rule("classifier", ["classifier"])


def _timm_block(block: Block, ours: str, theirs: str) -> Iterator[Rule]:
    if block.expands:
        expand = _split(f"{theirs}.conv_pw", block.expand_groups)
        yield from _conv_norm(f"{ours}.expand", expand, f"{theirs}.bn1")
    for index, kernel in enumerate(_split(f"{theirs}.conv_dw", len(block.kernels))):
        yield Rule(f"{ours}.depthwise.conv.{index}", [kernel])
    yield Rule(f"{ours}.depthwise.bn", [f"{theirs}.bn{1 + block.expands}"])
    if block.squeeze:
        yield Rule(f"{ours}.se.reduce", [f"{theirs}.se.conv_reduce"])
        yield Rule(f"{ours}.se.expand", [f"{theirs}.se.conv_expand"])
    project = _split(f"{theirs}.conv_pw{'l' * block.expands}", block.project_groups)
    yield from _conv_norm(f"{ours}.project", project, f"{theirs}.bn{2 + block.expands}")


def _split(name: str, parts: int) -> list[str]:
    return [name] if parts == 1 else [f"{name}.{part}" for part in range(parts)]


# ----------------------------------------------------------------- torchvision


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
            change = background_last if kind == "cls" else torch.cat
            yield Rule(f"{ours}.1", [f"{theirs}.1"], change)


def torchvision_lraspp(table: Network) -> Iterator[Rule]:
    """The whole segmenter."""
    yield from _sequential("backbone.stem", "backbone.0")
    for index, block in enumerate(table.blocks):
        theirs = f"backbone.{index + 1}.block"
        yield from _torchvision_block(block, f"backbone.blocks.{index}", theirs)
    yield from _sequential("backbone.last", f"backbone.{len(table.blocks) + 1}")
    yield from _sequential("decode_head.project", "classifier.cbr")
    yield Rule("decode_head.gate.0", ["classifier.scale.1"])
    yield Rule("decode_head.low_seg", ["classifier.low_classifier"])
    yield Rule("decode_head.conv_seg", ["classifier.high_classifier"])


def _sequential(ours: str, theirs: str) -> Iterator[Rule]:
    return _conv_norm(ours, f"{theirs}.0", f"{theirs}.1")


def _in_first_half(rule: Rule, theirs: str, first: int) -> Rule:
    """The expansion of the block of C4 ends the backbone's first half."""
    start, end = f"{theirs}.0.", f"backbone.features.0.{first + 1}."
    return Rule(rule.ours, [(name + ".").replace(start, end)[:-1] for name in rule.theirs])


def _torchvision_block(block: Block, ours: str, theirs: str) -> Iterator[Rule]:
    place = 0
    if block.expands:
        yield from _sequential(f"{ours}.expand", f"{theirs}.{place}")
        place += 1
    yield Rule(f"{ours}.depthwise.conv.0", [f"{theirs}.{place}.0"])
    yield Rule(f"{ours}.depthwise.bn", [f"{theirs}.{place}.1"])
    if block.squeeze:
        place += 1
        yield Rule(f"{ours}.se.reduce", [f"{theirs}.{place}.fc1"])
        yield Rule(f"{ours}.se.expand", [f"{theirs}.{place}.fc2"])
    yield from _sequential(f"{ours}.project", f"{theirs}.{place + 1}")


COCO_SLOTS = 91


def background_last(parts: list[Tensor]) -> Tensor:
    """Class outputs (anchors * 91, …): torchvision's slot 0, background, becomes the last."""
    (part,) = parts
    slots = part.reshape(-1, COCO_SLOTS, *part.shape[1:])
    return slots.roll(-1, 1).reshape(part.shape)


MODELS = {
    "timm": {
        **{f"mixnet_{size}": (timm, table) for size, table in tables.MIXNET.items()},
        **{f"tf_mixnet_{size}": (timm, table) for size, table in tables.MIXNET.items()},
        "mobilenetv1_100": (timm, tables.MOBILENET_V1["v1"]),
        "mobilenetv2_100": (timm, tables.MOBILENET_V2["classification"]),
        "mobilenetv3_large_100": (timm, tables.MOBILENET_V3["large"]),
    },
    "torchvision": {
        "ssdlite320_mobilenet_v3_large": (
            torchvision_ssdlite,
            halve_tail(tables.MOBILENET_V3["large"]),
        ),
        "lraspp_mobilenet_v3_large": (torchvision_lraspp, tables.MOBILENET_V3["large"]),
    },
}
