"""Find the named feature maps in a network's table, by pure functions without torch."""

from itertools import accumulate
from operator import mul
from typing import NamedTuple

from mixnet_dense.backbones.arch import Network, last_at_stride

EXPAND, DEPTHWISE, OUT = range(3)  # the maps of a block, in the order it computes them


class Tap(NamedTuple):
    """Channels and output stride of a named feature map."""

    channels: int
    stride: int


class Place(NamedTuple):
    """Where a tap is read: a block, and one of its maps. A later place is the greater one.

    The last 1x1 convolution counts as one more block.
    """

    block: int
    map: int = OUT


def lay_out(network: Network, output_stride: int, dilate_strided: bool) -> list[tuple[int, int]]:
    """Stride and dilation of each block's depthwise convolution at an output stride."""
    layout = []
    reached, dilation = 2, 1
    for block in network.blocks:
        if reached * block.stride > output_stride:
            layout.append((1, dilation * block.stride if dilate_strided else dilation))
            dilation *= block.stride
        else:
            layout.append((block.stride, dilation))
            reached *= block.stride
    return layout


def find_places(network: Network) -> dict[str, Place]:
    """Where each tap of a network is read; `backbone.MobileBackbone` describes the taps."""
    count = len(network.blocks)
    c2, c3, c4 = (last_at_stride(network, stride) for stride in (4, 8, 16))
    return {
        "c2": Place(c2),
        "c3": Place(c3),
        "c4": Place(c4),
        "c5": Place(count - 1),
        "c4_expansion": Place(c4 + 1, EXPAND) if network.blocks[c4 + 1].expands else Place(c4),
        "c3_depthwise": Place(c3, DEPTHWISE),
        **{f"block{index}": Place(index) for index in range(count)},
        "last": Place(count if network.last else count - 1),
    }


def find_taps(
    network: Network, layout: list[tuple[int, int]], places: dict[str, Place]
) -> dict[str, Tap]:
    """Channels and stride of each place, for blocks laid out by `lay_out`."""
    reached = list(accumulate((stride for stride, _ in layout), mul, initial=2))
    taps = {}
    for name, (index, kind) in places.items():
        if index == len(network.blocks):
            taps[name] = Tap(network.last, reached[-1])
        else:
            block = network.blocks[index]
            channels = block.out_channels if kind == OUT else block.expansion
            taps[name] = Tap(channels, reached[index if kind == EXPAND else index + 1])
    return taps
