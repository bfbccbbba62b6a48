"""Find the named feature maps in a network's table, by pure functions without torch."""

from typing import NamedTuple

from mixnet_dense.backbones.arch import Network, last_at_stride, reach

EXPAND, DEPTHWISE, OUT = range(3)  # the maps of a block, in the order it computes them


class Tap(NamedTuple):
    """Channels and output stride of a named feature map."""

    channels: int
    stride: int


class FeatureInfo(list):
    """What timm's users ask of a backbone's maps: a dictionary for each, and lists of one value."""

    def channels(self) -> list[int]:
        return [row["num_chs"] for row in self]

    def reduction(self) -> list[int]:
        """Output strides."""
        return [row["reduction"] for row in self]


class Place(NamedTuple):
    """Where a tap is read: a block, and one of its maps. A later place is the greater one.

    The last 1x1 convolution counts as one more block.
    """

    block: int
    map: int = OUT


def lay_out(
    network: Network, output_stride: int, dilate_strided: bool
) -> tuple[list[int], list[int]]:
    """Strides and dilations of the blocks' depthwise convolutions at an output stride."""
    reached = reach(block.stride for block in network.blocks)
    pairs = zip(network.blocks, reached[1:], strict=True)
    strides = [block.stride if after <= output_stride else 1 for block, after in pairs]
    lost = reached[1:] if dilate_strided else reached[:-1]
    return strides, [max(1, stride // output_stride) for stride in lost]


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


def find_taps(network: Network, strides: list[int], places: dict[str, Place]) -> dict[str, Tap]:
    """Channels and stride of each place, for blocks with these strides."""
    reached, taps = reach(strides), {}
    for name, (index, kind) in places.items():
        if index == len(network.blocks):
            taps[name] = Tap(network.last, reached[-1])
        else:
            block = network.blocks[index]
            channels = block.out_channels if kind == OUT else block.expansion
            taps[name] = Tap(channels, reached[index if kind == EXPAND else index + 1])
    return taps
