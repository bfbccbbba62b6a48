"""MixConv: one depthwise convolution with several kernel sizes.

Paper: https://arxiv.org/abs/1907.09595, section 3. Channels are split into groups,
each convolved with its own kernel size, and concatenated in order. As in the paper's
code a remainder of channels goes to the first group.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixnet_dense.backbones.algorithms import MIXCONV, choose, in_layout_of
from mixnet_dense.backbones.arch import check, check_kernels, partition_channels

PADDINGS = ("symmetric", "same")


def pad_same(x: Tensor, kernel: int, stride: int, dilation: int = 1) -> Tensor:
    """Pad (N, C, H, W) as TensorFlow's SAME does: an odd pixel goes to the right or bottom."""
    extent = (kernel - 1) * dilation + 1
    # Of positive numbers: where an exported file takes any size, it rounds quotients towards zero.
    height, width = ((size - 1) // stride * stride + extent - size for size in x.shape[-2:])
    if extent < stride:  # negative only then; a limit would make the sizes in that file endless
        height, width = max(height, 0), max(width, 0)
    return F.pad(x, (width // 2, width - width // 2, height // 2, height - height // 2))


class DepthwiseConv2d(nn.Conv2d):
    """A bias-free depthwise convolution: (N, C, H, W) -> (N, C, ceil(H / s), ceil(W / s)).

    ``padding`` is ``'symmetric'``, or ``'same'`` for TensorFlow's.
    """

    def __init__(self, channels: int, kernel: int, stride: int, dilation: int, padding: str):
        self.same = padding == "same" and stride > 1  # equal to symmetric at stride 1
        border = 0 if self.same else (kernel - 1) // 2 * dilation
        super().__init__(channels, channels, kernel, stride, border, dilation, channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.convolve(x, self.weight, self.bias)

    def convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """This convolution with other weights (C, 1, K, K) of its kernel size, for any C."""
        if self.same:
            x = pad_same(x, self.kernel_size[0], self.stride[0], self.dilation[0])
        return F.conv2d(x, weight, bias, self.stride, self.padding, self.dilation, len(weight))


class MixConv2d(nn.ModuleList):
    """Depthwise convolution with a kernel size per channel group.

    Maps (N, channels, H, W) to (N, channels, ceil(H / stride), ceil(W / stride)). Its children
    are plain depthwise convolutions in group order. See `algorithms` for the ways to compute it.

    Args:
        kernel_sizes: one odd size per group; a single size is a plain depthwise conv.
        stride, dilation: of every group.
        partition: ``'equal'`` or ``'exponential'``, see `partition_channels`.
        dilated: use 3x3 kernels with dilation (K - 1) / 2 in place of K x K ones
            (section 3.4); only at stride 1, as in the paper.
        padding: ``'symmetric'``, or ``'same'`` for TensorFlow's.

    Raises:
        ValueError: even kernel sizes, or an unknown partition or padding.
    """

    def __init__(
        self,
        channels: int,
        kernel_sizes: tuple[int, ...] = (3,),
        *,
        stride: int = 1,
        dilation: int = 1,
        partition: str = "equal",
        dilated: bool = False,
        padding: str = "symmetric",
    ):
        check_kernels(kernel_sizes)
        check("padding", padding, PADDINGS)
        self.splits = partition_channels(channels, len(kernel_sizes), partition)
        convs = []
        for width, kernel in zip(self.splits, kernel_sizes, strict=True):
            own_dilation = dilation
            if dilated and stride == 1 and kernel > 3:
                own_dilation, kernel = dilation * (kernel - 1) // 2, 3
            convs.append(DepthwiseConv2d(width, kernel, stride, own_dilation, padding))
        super().__init__(convs)
        self.algorithm: str | None = None
        # With SAME padding a strided 1x1 kernel reads other pixels than a larger one's centre.
        cropped = padding == "same" and stride > 1 and 1 in kernel_sizes
        self.mergeable = len({conv.dilation for conv in convs}) == 1 and not cropped
        # those of `algorithms.ALGORITHMS` that this layer has
        self.algorithms = ("split", "contiguous", *(["merged"] if self.mergeable else []))

    @property
    def largest(self) -> DepthwiseConv2d:
        """The group with the largest kernel."""
        return max(self, key=lambda conv: conv.kernel_size[0])

    def merged_weight(self) -> Tensor:
        """All weights as (C, 1, K, K), K the largest size; smaller kernels get a zero border."""
        size = self.largest.kernel_size[0]
        borders = [(size - conv.kernel_size[0]) // 2 for conv in self]
        return torch.cat(
            [F.pad(conv.weight, [border] * 4) for conv, border in zip(self, borders, strict=True)]
        )

    def forward(self, x: Tensor) -> Tensor:
        if len(self) == 1:
            return self[0](x)
        algorithm = self.algorithm
        if algorithm not in self.algorithms:
            algorithm = choose(MIXCONV, x, self[0].weight, min(self.splits), self.mergeable)
        if algorithm == "merged":
            return self.largest.convolve(x, self.merged_weight())
        parts = x.split(self.splits, 1)
        if algorithm == "contiguous":
            parts = [in_layout_of(x, part) for part in parts]
        return torch.cat([conv(part) for conv, part in zip(self, parts, strict=True)], 1)
