"""The papers' networks as tables, and pure functions over them.

A `Network` is a stem, a tuple of `Block` rows in the order and units of the paper,
and a last 1x1 convolution. `build_table` looks a network up and applies, in this
order, the tail reduction, the kernel swap and the width multiplier. Nothing here
imports torch.

MixNet: https://arxiv.org/abs/1907.09595, figure 8; the grouped 1x1 convolutions,
squeeze ratios and activations are those of the authors' released code.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

Kernels = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Block:
    """One row: 1x1 expansion, (mixed) depthwise, squeeze-and-excitation, 1x1 projection.

    Attributes:
        in_channels, expansion, out_channels: channels. There is no expansion
            convolution where ``expansion == in_channels``.
        kernels: sizes of the depthwise kernels, one per channel group.
        stride: of the depthwise convolution.
        squeeze: squeeze-and-excitation ratio, 0 for none (of what: `Network.squeeze_of`).
        act: activation after the expansion, the depthwise and inside the squeeze.
        expand_groups, project_groups: groups of the two 1x1 convolutions.
    """

    in_channels: int
    expansion: int
    out_channels: int
    kernels: Kernels = (3,)
    stride: int = 1
    squeeze: float = 0.0
    act: str = "ReLU"
    expand_groups: int = 1
    project_groups: int = 1

    @property
    def residual(self) -> bool:
        return self.stride == 1 and self.in_channels == self.out_channels


@dataclass(frozen=True, kw_only=True)
class Network:
    """A whole backbone.

    Attributes:
        name: as printed in messages.
        stem: channels of the 3x3 stride-2 first convolution.
        blocks: the rows.
        last: channels of the last 1x1 convolution.
        stem_act, last_act: their activations.
        squeeze_of: ``'input'`` or ``'expansion'``, what squeeze ratios refer to.
        gate: activation of the squeeze-and-excitation gate.
        scale_last: ``(last, width) -> channels``.
        dropout: before the classifier of the classification network.
    """

    name: str
    stem: int
    blocks: tuple[Block, ...]
    last: int
    stem_act: str = "ReLU"
    last_act: str = "ReLU"
    squeeze_of: str = "input"
    gate: str = "Sigmoid"
    scale_last: Callable[[int, float], int] = lambda last, width: last
    dropout: float = 0.2


def round8(value: float) -> int:
    """Nearest multiple of 8, at least 8, never below 90 % of ``value``."""
    rounded = max(8, int(value + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * value else rounded


def squeeze_channels(network: Network, block: Block) -> int:
    """Width of the squeeze-and-excitation bottleneck of ``block``; 0 for none."""
    if not block.squeeze:
        return 0
    base = block.in_channels if network.squeeze_of == "input" else block.expansion
    return max(1, int(base * block.squeeze))


def scale(network: Network, width: float) -> Network:
    """Apply the width multiplier.

    Block outputs and the stem are rounded with `round8`; an expansion is the actual
    input times the paper's ratio, rounded the same way.

    Raises:
        ValueError: ``width`` is not positive.
    """
    if not width > 0:
        raise ValueError(f"width={width!r}: must be a positive number, such as 0.5, 1.0 or 1.4")
    channels = stem = round8(network.stem * width)
    blocks = []
    for block in network.blocks:
        ratio = Fraction(block.expansion, block.in_channels)
        expansion = channels if ratio == 1 else round8(float(channels * ratio))
        out_channels = round8(block.out_channels * width)
        blocks.append(
            replace(block, in_channels=channels, expansion=expansion, out_channels=out_channels)
        )
        channels = out_channels
    last = network.scale_last(network.last, width)
    return replace(network, stem=stem, blocks=tuple(blocks), last=last)


def with_kernels(network: Network, kernel_sizes: Kernels | Mapping[int, Kernels]) -> Network:
    """Give depthwise convolutions other kernels (MixConv table 1, figures 4 to 6).

    Args:
        kernel_sizes: sizes for every block, or a mapping from block index to sizes
            (figure 5 changes one layer only).

    Raises:
        ValueError: an even or non-positive size, or an index outside the network.
    """
    count = len(network.blocks)
    if not isinstance(kernel_sizes, Mapping):
        kernel_sizes = dict.fromkeys(range(count), kernel_sizes)
    for index, kernels in kernel_sizes.items():
        if index not in range(count):
            raise ValueError(f"kernel_sizes: block {index!r} is not one of 0 to {count - 1}")
        check_kernels(kernels)
    blocks = tuple(
        replace(block, kernels=tuple(kernel_sizes.get(index, block.kernels)))
        for index, block in enumerate(network.blocks)
    )
    return replace(network, blocks=blocks)


def check_kernels(kernels: Kernels) -> None:
    """Raise ValueError unless ``kernels`` are odd positive sizes, each used once."""
    good = all(isinstance(size, int) and size > 0 and size % 2 for size in kernels)
    if not kernels or not good or len(set(kernels)) != len(kernels):
        raise ValueError(
            f"kernel_sizes={kernels!r}: must be different odd positive sizes, such as (3, 5, 7)"
        )


def last_at_stride(network: Network, stride: int) -> int:
    """Index of the last block whose output is at ``stride`` (before any dilation).

    Raises:
        ValueError: the network has no block there.
    """
    current, found = 2, None
    for index, block in enumerate(network.blocks):
        current *= block.stride
        if current == stride:
            found = index
    if found is None:
        raise ValueError(f"{network.name} has no block at output stride {stride}")
    return found


def halve_tail(network: Network) -> Network:
    """Halve what follows C4: outputs from the first stride-32 block on, and the last conv.

    C4 itself, the expansion of that first block, stays (MobileNetV3 section 6.3,
    the dagger rows of table 6); later expansions follow their halved inputs.
    """
    first = last_at_stride(network, 16) + 1
    blocks = list(network.blocks)
    for index in range(first, len(blocks)):
        block = blocks[index]
        channels = block.in_channels if index == first else blocks[index - 1].out_channels
        ratio = Fraction(block.expansion, block.in_channels)
        blocks[index] = replace(
            block,
            in_channels=channels,
            expansion=int(channels * ratio),
            out_channels=block.out_channels // 2,
        )
    return replace(network, blocks=tuple(blocks), last=network.last // 2)


# --------------------------------------------------------------------- MixNet

_R, _S = "ReLU", "SiLU"  # the paper's swish is torch's SiLU


def _rows(stem: int, rows) -> tuple[Block, ...]:
    """Expand table rows; the stride is on the first repeat, later ones have in = out."""
    blocks = []
    channels = stem
    for repeats, kernels, expand_groups, project_groups, stride, ratio, out, squeeze, act in rows:
        for repeat in range(repeats):
            blocks.append(
                Block(
                    in_channels=channels,
                    expansion=channels * ratio,
                    out_channels=out,
                    kernels=kernels,
                    stride=1 if repeat else stride,
                    squeeze=squeeze,
                    act=act,
                    expand_groups=expand_groups,
                    project_groups=project_groups,
                )
            )
            channels = out
    return tuple(blocks)


# Columns: repeats, depthwise kernels, groups of expand and project, stride, expansion
# ratio, output channels, squeeze ratio (of the block input), activation.
_MIXNET_S = _rows(
    16,
    [
        # 112 x 112 for a 224 x 224 image
        (1, (3,), 1, 1, 1, 1, 16, 0.0, _R),
        # 56 x 56
        (1, (3,), 2, 2, 2, 6, 24, 0.0, _R),
        (1, (3,), 2, 2, 1, 3, 24, 0.0, _R),
        # 28 x 28
        (1, (3, 5, 7), 1, 1, 2, 6, 40, 0.5, _S),
        (3, (3, 5), 2, 2, 1, 6, 40, 0.5, _S),
        # 14 x 14
        (1, (3, 5, 7), 1, 2, 2, 6, 80, 0.25, _S),
        (2, (3, 5), 1, 2, 1, 6, 80, 0.25, _S),
        (1, (3, 5, 7), 2, 2, 1, 6, 120, 0.5, _S),
        (2, (3, 5, 7, 9), 2, 2, 1, 3, 120, 0.5, _S),
        # 7 x 7
        (1, (3, 5, 7, 9, 11), 1, 1, 2, 6, 200, 0.5, _S),
        (2, (3, 5, 7, 9), 1, 2, 1, 6, 200, 0.5, _S),
    ],
)
_MIXNET_M = _rows(
    24,
    [
        # 112 x 112 for a 224 x 224 image
        (1, (3,), 1, 1, 1, 1, 24, 0.0, _R),
        # 56 x 56
        (1, (3, 5, 7), 2, 2, 2, 6, 32, 0.0, _R),
        (1, (3,), 2, 2, 1, 3, 32, 0.0, _R),
        # 28 x 28
        (1, (3, 5, 7, 9), 1, 1, 2, 6, 40, 0.5, _S),
        (3, (3, 5), 2, 2, 1, 6, 40, 0.5, _S),
        # 14 x 14
        (1, (3, 5, 7), 1, 1, 2, 6, 80, 0.25, _S),
        (3, (3, 5, 7, 9), 2, 2, 1, 6, 80, 0.25, _S),
        (1, (3,), 1, 1, 1, 6, 120, 0.5, _S),
        (3, (3, 5, 7, 9), 2, 2, 1, 3, 120, 0.5, _S),
        # 7 x 7
        (1, (3, 5, 7, 9), 1, 1, 2, 6, 200, 0.5, _S),
        (3, (3, 5, 7, 9), 1, 2, 1, 6, 200, 0.5, _S),
    ],
)
MIXNET = {
    "s": Network(name="MixNet-S", stem=16, blocks=_MIXNET_S, last=1536),
    "m": Network(name="MixNet-M", stem=24, blocks=_MIXNET_M, last=1536, dropout=0.25),
}
MIXNET["l"] = replace(scale(MIXNET["m"], 1.3), name="MixNet-L")
