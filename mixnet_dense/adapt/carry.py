"""Carry a model's weights over to the same model with a smaller table.

NetAdapt section 3.3: of a layer's channels those of largest L2 magnitude are kept. What the smaller
model has and the larger one has not keeps its initial values.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mixnet_dense.adapt.proposals import (
    STEM,
    bottleneck_cuts,
    expansion_cuts,
    kept_channels,
    shared_bottlenecks,
)
from mixnet_dense.backbones.backbone import MobileBackbone
from mixnet_dense.backbones.blocks import InvertedResidual
from mixnet_dense.backbones.mixconv import MixConv2d
from mixnet_dense.backbones.taps import DEPTHWISE, EXPAND, find_places

Indices = list[int]


def carry_over(old: nn.Module, new: nn.Module, partition: str = "equal") -> None:
    """Give ``new`` the weights of ``old``, in place.

    Args:
        old, new: a `MobileBackbone`, or the same detector or segmenter with one as ``backbone``.
            Neck and head take the tapped channels that are kept.
        partition: of the mixed convolutions.

    Raises:
        ValueError: the tables differ in more than channels and kernels.
    """
    body, smaller = getattr(old, "backbone", old), getattr(new, "backbone", new)
    bottlenecks, expansions = _kept(body, smaller, partition)
    state = {key: value.clone() for key, value in new.state_dict().items()}
    prefix = "backbone." if hasattr(old, "backbone") else ""
    inside = _body(body, smaller, bottlenecks, expansions)
    state.update({prefix + key: value for key, value in inside.items()})
    taps = _taps(body, smaller, bottlenecks, expansions)
    for key, value in old.state_dict().items():
        if prefix and not key.startswith(prefix):
            state[key] = _follow(key, value, state[key].shape, taps)
    new.load_state_dict(state)


def _kept(
    old: MobileBackbone, new: MobileBackbone, partition: str
) -> tuple[dict[int, Indices], list[Indices]]:
    """The channels that stay of the output of each block (and `STEM`) and of each expansion."""
    if shared_bottlenecks(old.network) != shared_bottlenecks(new.network):
        raise ValueError("the tables have other blocks or residuals")
    bottlenecks: dict[int, Indices] = {}
    for group in shared_bottlenecks(old.network):
        writers = [
            old.stem if index == STEM else getattr(old.blocks[index], "project", None)
            for index in group
            if index < len(old.blocks)
        ]
        sizes = [_width(table, group[0]) for table in (old.network, new.network)]
        importance = torch.zeros(sizes[0])
        for writer in writers:
            if writer is not None:
                importance += _magnitude(writer.conv.weight) ** 2
        cuts = (bottleneck_cuts(old.network, group, size) for size in sizes)
        kept = kept_channels(importance.tolist(), *cuts)
        bottlenecks.update(dict.fromkeys(group, kept))
    expansions = []
    for index, block in enumerate(old.blocks):
        rows = old.network.blocks[index], new.network.blocks[index]
        if rows[0].expands:
            importance = _magnitude(block.expand.conv.weight).tolist()
            cuts = (expansion_cuts(row, partition) for row in rows)
            expansions.append(kept_channels(importance, *cuts))
        else:
            expansions.append(bottlenecks[index - 1])
    return bottlenecks, expansions


def _width(network, index: int) -> int:
    return network.stem if index == STEM else network.blocks[index].out_channels


def _magnitude(weight: Tensor) -> Tensor:
    """The L2 norm of the weights of each output channel."""
    return weight.detach().cpu().flatten(1).norm(dim=1)


def _body(
    old: MobileBackbone,
    new: MobileBackbone,
    bottlenecks: Mapping[int, Indices],
    expansions: list[Indices],
) -> dict[str, Tensor]:
    """The backbone's state dict with the kept channels."""
    found = _layer("stem", old.stem, new.stem, bottlenecks[STEM], [0, 1, 2])
    for index, (block, smaller) in enumerate(zip(old.blocks, new.blocks, strict=True)):
        kept = bottlenecks[index - 1], expansions[index], bottlenecks[index]
        found |= _block(f"blocks.{index}", block, smaller, *kept)
    if hasattr(old, "last"):
        every = list(range(old.network.last))
        found |= _layer("last", old.last, new.last, every, bottlenecks[len(old.blocks) - 1])
    return found


def _block(
    name: str,
    old: InvertedResidual,
    new: InvertedResidual,
    inputs: Indices,
    width: Indices,
    outputs: Indices,
) -> dict[str, Tensor]:
    found = {}
    if hasattr(old.expand, "conv"):
        found |= _layer(f"{name}.expand", old.expand, new.expand, width, inputs)
    if old.until > EXPAND:
        found |= _norm(f"{name}.depthwise.bn", old.depthwise.bn, width)
        kernels = _kernels(old.depthwise.conv, new.depthwise.conv, width)
        found |= {f"{name}.depthwise.conv.{i}.weight": value for i, value in enumerate(kernels)}
    if old.until > DEPTHWISE:
        if hasattr(old.se, "reduce"):
            found |= _squeeze(f"{name}.se", old.se, new.se, width)
        found |= _layer(f"{name}.project", old.project, new.project, outputs, width)
    return found


def _layer(name: str, old: nn.Module, new: nn.Module, outputs: Indices, inputs: Indices):
    """A convolution and its norm; weights between channels of unequal groups are left out."""
    weight = old.conv.weight if old.conv.groups == 1 else old.conv.merged_weight()
    weight = weight.detach()[outputs][:, inputs]
    groups = new.conv.groups
    if groups > 1:
        rows = enumerate(weight.chunk(groups))
        weight = torch.cat([row.chunk(groups, 1)[index] for index, row in rows])
    return {f"{name}.conv.weight": weight, **_norm(f"{name}.bn", old.bn, outputs)}


def _norm(name: str, norm: nn.Module, kept: Indices) -> dict[str, Tensor]:
    return {
        f"{name}.{key}": value[kept] if value.dim() else value
        for key, value in norm.state_dict().items()
    }


def _squeeze(name: str, old: nn.Module, new: nn.Module, width: Indices) -> dict[str, Tensor]:
    importance = _magnitude(old.reduce.weight).tolist()
    sizes = [len(importance)], [new.reduce.out_channels]
    kept = kept_channels(importance, *sizes)
    return {
        f"{name}.reduce.weight": old.reduce.weight.detach()[kept][:, width],
        f"{name}.reduce.bias": old.reduce.bias.detach()[kept],
        f"{name}.expand.weight": old.expand.weight.detach()[width][:, kept],
        f"{name}.expand.bias": old.expand.bias.detach()[width],
    }


def _kernels(old: MixConv2d, new: MixConv2d, kept: Indices) -> list[Tensor]:
    """The kernels of each new group: cut at the border where they were larger, else with zeros."""
    channels = [kernel for conv in old for kernel in conv.weight.detach()]
    found, start = [], 0
    for conv in new:
        size = conv.kernel_size[0]
        own = [channels[index] for index in kept[start : start + conv.out_channels]]
        start += conv.out_channels
        border = [[(size - kernel.shape[-1]) // 2] * 4 for kernel in own]
        padded = [nn.functional.pad(k, b) for k, b in zip(own, border, strict=True)]
        found.append(torch.stack(padded))
    return found


def _taps(
    old: MobileBackbone,
    new: MobileBackbone,
    bottlenecks: Mapping[int, Indices],
    expansions: list[Indices],
) -> dict[tuple[int, int], Indices]:
    """The kept channels of returned maps whose width changed, by (old width, new width)."""
    found, places = {}, find_places(old.network)
    for name in old.out_taps:
        place, widths = places[name], (old.taps[name].channels, new.taps[name].channels)
        if widths[0] != widths[1]:
            inside = place.map in (EXPAND, DEPTHWISE)
            kept = expansions[place.block] if inside else bottlenecks[place.block]
            if found.setdefault(widths, kept) != kept:
                raise ValueError(f"two maps change from {widths[0]} to {widths[1]} channels")
    return found


def _follow(key: str, value: Tensor, shape: torch.Size, taps: Mapping) -> Tensor:
    """A tensor of neck or head for the new widths of the maps."""
    for axis, widths in enumerate(zip(value.shape, shape, strict=True)):
        if widths[0] != widths[1]:
            if widths not in taps:
                raise ValueError(f"{key}: has {widths[0]} channels, not those of a map")
            value = value.index_select(axis, torch.tensor(taps[widths], device=value.device))
    return value
