"""The data classes of a network's table, and pure functions from table to table.

A `Network` is a stem, a tuple of `Block` rows in the order and units of the paper, and
a last 1x1 convolution. A tail reduction and a kernel swap act on the paper's own
numbers; `scale` comes last and gives the channels that are built. The tables themselves
are in `tables`. Nothing here imports torch.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import accumulate
from operator import mul

Kernels = tuple[int, ...]
PARTITIONS = ("equal", "exponential")


@dataclass(frozen=True, kw_only=True)
class Block:
    """One row: 1x1 expansion, (mixed) depthwise, squeeze-and-excitation, 1x1 projection."""

    in_channels: int
    expansion: int  # channels; equal to in_channels where there is no expansion
    out_channels: int
    kernels: Kernels = (3,)  # sizes of the depthwise kernels, one per channel group
    stride: int = 1  # of the depthwise convolution
    squeeze: float = 0.0  # ratio of squeeze-and-excitation to `Network.squeeze_of`, 0 for none
    act: str = "ReLU"  # after the expansion, the depthwise and inside the squeeze
    expand_groups: int = 1  # of the 1x1 convolutions
    project_groups: int = 1
    project_act: str | None = None  # None is linear; a block with one (MobileNetV1) has no residual

    @property
    def expands(self) -> bool:
        """Whether there is an expansion convolution."""
        return self.expansion != self.in_channels

    @property
    def residual(self) -> bool:
        same = self.stride == 1 and self.in_channels == self.out_channels
        return same and self.project_act is None


def round8(value: float) -> int:
    """Nearest multiple of 8, at least 8, never below 90 % of ``value``."""
    rounded = max(8, int(value + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * value else rounded


def truncate(value: float) -> int:
    """``int(value)``, at least 1."""
    return max(1, int(value))


@dataclass(frozen=True, kw_only=True)
class Network:
    """A whole backbone, and what the classification network adds to it."""

    name: str  # as printed in messages
    stem: int  # channels of the 3x3 stride-2 first convolution
    blocks: tuple[Block, ...]
    last: int  # channels of the last 1x1 convolution, 0 for none (MobileNetV1)
    stem_act: str = "ReLU"
    last_act: str = "ReLU"
    squeeze_of: str = "input"  # or 'expansion', what squeeze ratios refer to
    squeeze_act: str | None = None  # inside the squeeze; None is the row's own
    gate: str = "Sigmoid"  # of squeeze-and-excitation
    round_channels: Callable[[float], int] = round8  # of stem and block outputs, after the width
    round_squeeze: Callable[[float], int] = truncate  # of the squeeze's bottleneck
    scale_last: str = "never"  # or 'up', with widths above 1 only, or 'always'
    segmentation_halves_c4: bool = False  # see `halve_tail_for_segmentation`
    hidden: int = 0  # width of the layer between pooling and classifier, 0 for none
    hidden_act: str = "HSwish"
    dropout: float = 0.2  # before the classifier


def partition_channels(channels: int, groups: int, partition: str = "equal") -> tuple[int, ...]:
    """Channels of each group (MixConv section 3.2); the first group gets the remainder.

    ``exponential``: group i has about ``2**-i`` of the channels and the last two are equal, so 32
    in 4 groups are 16, 8, 4, 4.

    Raises:
        ValueError: an unknown partition, or a group would be empty.
    """
    check("partition", partition, PARTITIONS)
    sizes = [channels // groups] * groups
    if partition == "exponential":
        sizes = [channels >> min(group, groups - 1) for group in range(1, groups + 1)]
    sizes[0] += channels - sum(sizes)
    if min(sizes) < 1:
        raise ValueError(f"{channels} channels cannot fill {groups} groups ({partition})")
    return tuple(sizes)


def squeeze_channels(network: Network, block: Block) -> int:
    """Width of the squeeze-and-excitation bottleneck of ``block``; 0 for none."""
    if not block.squeeze:
        return 0
    base = block.in_channels if network.squeeze_of == "input" else block.expansion
    return network.round_squeeze(base * block.squeeze)


def follow(
    blocks: Sequence[Block], channels: int, outputs: Iterable[int], rounded: Callable[[float], int]
) -> tuple[Block, ...]:
    """Blocks with other outputs, each with its own ratio of expansion, ``rounded``, to input.

    The first reads ``channels``, the others what the block before gives.
    """
    found = []
    for block, out in zip(blocks, outputs, strict=True):
        ratio = Fraction(block.expansion, block.in_channels)
        expansion = rounded(float(channels * ratio)) if block.expands else channels
        found.append(replace(block, in_channels=channels, expansion=expansion, out_channels=out))
        channels = out
    return tuple(found)


def scale(network: Network, width: float, fixed_stem: bool = False) -> Network:
    """Apply the width multiplier.

    The stem and block outputs are rounded by ``network.round_channels``; an expansion is
    the actual input times the paper's ratio, rounded by `round8`. ``fixed_stem`` leaves
    the stem as it is, as timm does in MobileNetV3 below 0.75.

    Raises:
        ValueError: ``width`` is not positive.
    """
    if not isinstance(width, (int, float)) or not 0 < width < float("inf"):
        raise ValueError(f"width={width!r}: must be a positive number, such as 0.5, 1.0 or 1.4")
    stem = network.stem if fixed_stem else network.round_channels(network.stem * width)
    outputs = (network.round_channels(block.out_channels * width) for block in network.blocks)
    blocks = follow(network.blocks, stem, outputs, round8)
    scales = {"never": False, "up": width > 1, "always": True}[network.scale_last]
    last = round8(network.last * width) if scales else network.last
    return replace(network, stem=stem, blocks=blocks, last=last)


def with_kernels(network: Network, kernel_sizes: Kernels | Mapping[int, Kernels]) -> Network:
    """Give all blocks other kernels, or some, by their index (MixConv table 1, figures 4 to 6).

    Raises:
        ValueError: an index outside the network, or see `check_kernels`.
    """
    indices = range(len(network.blocks))
    if not isinstance(kernel_sizes, Mapping):
        kernel_sizes = dict.fromkeys(indices, kernel_sizes)
    blocks = list(network.blocks)
    for index, kernels in kernel_sizes.items():
        if index not in indices:
            raise ValueError(f"kernel_sizes: block {index!r} is not one of 0 to {indices[-1]}")
        check_kernels(kernels)
        blocks[index] = replace(blocks[index], kernels=tuple(kernels))
    return replace(network, blocks=tuple(blocks))


def with_act(network: Network, act: str) -> Network:
    """Replace every activation except the gates, for example by Mish."""
    blocks = tuple(
        replace(block, act=act, project_act=block.project_act and act) for block in network.blocks
    )
    acts = dict(stem_act=act, last_act=act, hidden_act=act)
    return replace(network, blocks=blocks, squeeze_act=network.squeeze_act and act, **acts)


def check(name: str, value, allowed) -> None:
    """Raise ValueError unless ``value`` is one of ``allowed``."""
    if value not in allowed:
        raise ValueError(f"{name}={value!r}: must be one of {', '.join(map(repr, allowed))}")


def check_kernels(kernels: Kernels) -> None:
    """Raise ValueError unless ``kernels`` are odd positive sizes, each used once."""
    listed = isinstance(kernels, (tuple, list)) and bool(kernels)
    good = listed and all(isinstance(size, int) and size > 0 and size % 2 for size in kernels)
    if not good or len(set(kernels)) != len(kernels):
        raise ValueError(
            f"kernel_sizes={kernels!r}: must be different odd positive sizes, such as (3, 5, 7)"
        )


def reach(strides: Iterable[int]) -> list[int]:
    """The output stride before each of these blocks, and after the last."""
    return list(accumulate(strides, mul, initial=2))


def last_at_stride(network: Network, stride: int) -> int:
    """Index of the last block whose output is at ``stride`` (before any dilation).

    Raises:
        ValueError: the network has no block there.
    """
    reached = reach(block.stride for block in network.blocks)
    last = {stride: index for index, stride in enumerate(reached, start=-1)}  # -1: the stem
    if stride not in last:
        raise ValueError(f"{network.name} has no block at output stride {stride}")
    return last[stride]


def halve_tail(network: Network) -> Network:
    """Halve what follows C4: outputs from the first stride-32 block on, and the last conv.

    C4 itself, the expansion of that first block, stays (MobileNetV3 section 6.3,
    the dagger rows of table 6); later expansions follow their halved inputs.
    """
    first = last_at_stride(network, 16) + 1
    kept, tail = network.blocks[:first], network.blocks[first:]
    tail = follow(tail, tail[0].in_channels, (block.out_channels // 2 for block in tail), int)
    return replace(network, blocks=kept + tail, last=network.last // 2)


def halve_tail_for_segmentation(network: Network) -> Network:
    """`halve_tail`; for MobileNetV3 also halve C4, which MobileNetV2 keeps.

    MobileNetV3 section 6.4, the RF2 rows of table 7.
    """
    network = halve_tail(network)
    if not network.segmentation_halves_c4:
        return network
    blocks, first = list(network.blocks), last_at_stride(network, 16) + 1
    blocks[first] = replace(blocks[first], expansion=blocks[first].expansion // 2)
    return replace(network, blocks=tuple(blocks))
