"""The shapes of a backbone's state dict, from its table alone: nothing is built."""

from collections.abc import Iterator

from mixnet_dense.backbones.arch import Block, Network, partition_channels, squeeze_channels

Shape = tuple[int, ...]


def shapes(network: Network, last: bool = True) -> dict[str, Shape]:
    """State-dict keys and shapes of `MobileBackbone`.

    Args:
        network: scaled, as it is built.
        last: whether the last 1x1 convolution is.
    """
    found = dict(_conv_norm("stem", (network.stem, 3, 3, 3)))
    for index, block in enumerate(network.blocks):
        found.update(_block(f"blocks.{index}", block, squeeze_channels(network, block)))
    if last and network.last:
        found.update(_conv_norm("last", (network.last, network.blocks[-1].out_channels, 1, 1)))
    return found


def _block(name: str, block: Block, squeezed: int) -> Iterator[tuple[str, Shape]]:
    width = block.expansion
    if block.expands:
        inputs = block.in_channels // block.expand_groups
        yield from _conv_norm(f"{name}.expand", (width, inputs, 1, 1))
    parts = partition_channels(width, len(block.kernels))
    for index, (channels, size) in enumerate(zip(parts, block.kernels, strict=True)):
        yield f"{name}.depthwise.conv.{index}.weight", (channels, 1, size, size)
    yield from _norm(f"{name}.depthwise.bn", width)
    if squeezed:
        for part, out, inputs in (("reduce", squeezed, width), ("expand", width, squeezed)):
            yield f"{name}.se.{part}.weight", (out, inputs, 1, 1)
            yield f"{name}.se.{part}.bias", (out,)
    project = (block.out_channels, width // block.project_groups, 1, 1)
    yield from _conv_norm(f"{name}.project", project)


def _conv_norm(name: str, weight: Shape) -> Iterator[tuple[str, Shape]]:
    yield f"{name}.conv.weight", weight
    yield from _norm(f"{name}.bn", weight[0])


def _norm(name: str, channels: int) -> Iterator[tuple[str, Shape]]:
    for leaf in ("weight", "bias", "running_mean", "running_var"):
        yield f"{name}.{leaf}", (channels,)
    yield f"{name}.num_batches_tracked", ()
