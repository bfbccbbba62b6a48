"""Find the named feature maps in a network's table, by pure functions without torch."""

from typing import NamedTuple

from mixnet_dense.backbones.arch import Network, last_at_stride


class Tap(NamedTuple):
    """Channels and output stride of a named feature map."""

    channels: int
    stride: int


class Place(NamedTuple):
    """Where a tap is read: block index and child, ``'out'`` for the whole block.

    The last 1x1 convolution counts as one more block.
    """

    block: int
    child: str


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
    ends = {name: last_at_stride(network, 2 ** int(name[1])) for name in ("c2", "c3", "c4")}
    places = {name: Place(end, "out") for name, end in ends.items()}
    places["c5"] = Place(len(network.blocks) - 1, "out")
    expands = network.blocks[ends["c4"] + 1].expands
    places["c4_expansion"] = Place(ends["c4"] + 1, "expand") if expands else places["c4"]
    places["c3_depthwise"] = Place(ends["c3"], "depthwise")
    for index in range(len(network.blocks)):
        places[f"block{index}"] = Place(index, "out")
    places["last"] = Place(len(network.blocks), "out") if network.last else places["c5"]
    return places


def find_taps(
    network: Network, layout: list[tuple[int, int]], places: dict[str, Place]
) -> dict[str, Tap]:
    """Channels and stride of each place, for blocks laid out by `lay_out`."""
    reached = [2]
    for stride, _ in [*layout, (1, 1)]:
        reached.append(reached[-1] * stride)
    taps = {}
    for name, (index, child) in places.items():
        if index == len(network.blocks):
            channels = network.last
        else:
            block = network.blocks[index]
            channels = block.out_channels if child == "out" else block.expansion
        taps[name] = Tap(channels, reached[index if child == "expand" else index + 1])
    return taps
