"""MixConv: one depthwise convolution with several kernel sizes.

Paper: https://arxiv.org/abs/1907.09595, section 3. Channels are split into groups,
each convolved with its own kernel size, and concatenated in order. As in the paper's
code a remainder of channels goes to the first group.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixnet_dense.backbones.arch import check_kernels, partition_channels

PADDINGS = ("symmetric", "same")


def pad_same(x: Tensor, kernel: int, stride: int, dilation: int = 1) -> Tensor:
    """Pad (N, C, H, W) as TensorFlow's SAME does: the odd pixel goes right and below."""
    height, width = (
        max((-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
        for size in x.shape[-2:]
    )
    return F.pad(x, (width // 2, width - width // 2, height // 2, height - height // 2))


def split_contiguous(x: Tensor, channels: Sequence[int]) -> list[Tensor]:
    """Split (N, C, H, W) along C into parts that are each dense in the layout of ``x``.

    A slice along channels is strided in memory; convolving it as it is costs many times
    the copy made here.
    """
    channels_last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return [part.contiguous(memory_format=layout) for part in x.split(channels, 1)]


class DepthwiseConv2d(nn.Conv2d):
    """A bias-free depthwise convolution: (N, C, H, W) -> (N, C, ceil(H / s), ceil(W / s)).

    ``padding`` is ``'symmetric'``, or ``'same'`` for TensorFlow's.
    """

    def __init__(self, channels: int, kernel: int, stride: int, dilation: int, padding: str):
        same = padding == "same" and stride > 1  # equal to symmetric at stride 1
        super().__init__(
            channels,
            channels,
            kernel,
            stride=stride,
            padding=0 if same else (kernel - 1) // 2 * dilation,
            dilation=dilation,
            groups=channels,
            bias=False,
        )
        self.same = same

    def forward(self, x: Tensor) -> Tensor:
        if self.same:
            x = pad_same(x, self.kernel_size[0], self.stride[0], self.dilation[0])
        return super().forward(x)


class MixConv2d(nn.ModuleList):
    """Depthwise convolution with a kernel size per channel group.

    Maps (N, C, H, W) to (N, C, ceil(H / stride), ceil(W / stride)). Its children are
    plain depthwise convolutions in group order.

    Args:
        channels: C.
        kernel_sizes: one odd size per group; a single size is a plain depthwise conv.
        stride: of every group.
        dilation: of every group.
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
        if padding not in PADDINGS:
            raise ValueError(f"padding={padding!r}: must be one of {PADDINGS}")
        self.splits = partition_channels(channels, len(kernel_sizes), partition)
        convs = []
        for width, kernel in zip(self.splits, kernel_sizes, strict=True):
            spread = dilation
            if dilated and stride == 1 and kernel > 3:
                spread, kernel = dilation * (kernel - 1) // 2, 3
            convs.append(DepthwiseConv2d(width, kernel, stride, spread, padding))
        super().__init__(convs)

    def forward(self, x: Tensor) -> Tensor:
        if len(self) == 1:
            return self[0](x)
        parts = split_contiguous(x, self.splits)
        return torch.cat([conv(part) for conv, part in zip(self, parts, strict=True)], 1)
