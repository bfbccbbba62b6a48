"""Names of a network's pieces in a table of latencies: what their time depends on, as text."""

from collections.abc import Iterable, Sequence

from torch import nn

from mixnet_dense.backbones.arch import squeeze_channels
from mixnet_dense.backbones.backbone import MobileBackbone
from mixnet_dense.backbones.taps import DEPTHWISE, EXPAND


def size(shapes: Iterable[Sequence[int]]) -> str:
    """Height and width of maps (1, C, H, W), such as ``20x20+10x10``."""
    return "+".join(f"{shape[-2]}x{shape[-1]}" for shape in shapes)


def stem(body: MobileBackbone) -> str:
    return f"stem {body.network.stem} {body.network.stem_act}"


def last(body: MobileBackbone) -> str:
    network = body.network
    return f"last {network.blocks[-1].out_channels}-{network.last} {network.last_act}"


def block(body: MobileBackbone, index: int) -> str:
    """A row: channels, kernels, stride, dilation, squeeze, groups, activations.

    Such as ``block 40-240-80 kernels 3/5/7 stride 2 dilation 1 squeeze 10 groups 1/2 SiLU``. A
    block that is read inside ends earlier: its name has only what is computed.
    """
    row, built = body.network.blocks[index], body.blocks[index]
    stride, dilation = body.layout[index]
    until = built.until
    words = [f"block {row.in_channels}-{row.expansion}"]
    if until > EXPAND:
        words.append(f"kernels {'/'.join(map(str, row.kernels))}")
        words.append(f"stride {stride} dilation {dilation}")
    if until > DEPTHWISE:
        words[0] += f"-{row.out_channels}"
        words.append(f"squeeze {squeeze_channels(body.network, row)}")
    words.append(f"groups {row.expand_groups}/{row.project_groups} {row.act}")
    words += [row.project_act] if row.project_act else []
    return " ".join(words)


def rest(model: nn.Module) -> str:
    """Neck and head: their types, the maps' channels and the parameters."""
    head = model.bbox_head if hasattr(model, "bbox_head") else model.decode_head
    parts = [head, *([model.neck] if getattr(model, "neck", None) is not None else [])]
    widths = [model.backbone.taps[name].channels for name in model.backbone.out_taps]
    count = sum(parameter.numel() for part in parts for parameter in part.parameters())
    kinds = " ".join(type(part).__name__ for part in parts)
    return f"{kinds} {'-'.join(map(str, widths))} {count} parameters"
