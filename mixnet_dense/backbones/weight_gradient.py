"""The weight gradient of a large depthwise kernel from those of 3x3 kernels.

oneDNN computes the weight gradient of a depthwise 3x3 convolution on channels_last maps
many times faster than that of larger ones. A K x K gradient is tiled by 3x3 blocks, each
the gradient of a 3x3 convolution of the shifted map. The map lies once in memory among
zeros, so that a shift is another start address and copies nothing.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor


def by_blocks(x: Tensor, gradient: Tensor, kernel: int, stride: int) -> Tensor:
    """The weight gradient of a depthwise convolution with symmetric padding.

    Args:
        x: (N, C, H, W), the convolution's input.
        gradient: (N, C, ceil(H / stride), ceil(W / stride)), that of its output.
        kernel: odd K, 5 at least.
        stride: 1 or 2.

    Returns:
        (C, 1, K, K).
    """
    images, channels, height, width = x.shape
    reach = kernel // 2
    rows, columns = (_padded(size, reach, stride) for size in (height, width))
    # Images begin at (stride, stride), so that no output with a gradient is at a border.
    before = reach * (columns + 1)
    flat = x.new_zeros(2 * before + images * rows * columns, channels)
    inner = flat[before : before + images * rows * columns].view(images, rows, columns, channels)
    inner[:, stride : stride + height, stride : stride + width] = x.permute(0, 2, 3, 1)
    high, wide = gradient.shape[-2:]
    right, below = columns // stride - 1 - wide, rows // stride - 1 - high
    upper = F.pad(gradient.permute(0, 2, 3, 1), (0, 0, 1, right, 1, below)).permute(0, 3, 1, 2)
    found = x.new_empty(channels, 1, kernel, kernel)
    small = x.new_empty(channels, 1, 3, 3)
    for down in _centres(reach):
        for along in _centres(reach):
            start = (before + down * columns + along) * channels
            shifted = flat.as_strided(inner.shape, inner.stride(), start).permute(0, 3, 1, 2)
            top, left = reach + down - 1, reach + along - 1
            found[:, :, top : top + 3, left : left + 3] = torch.ops.aten.convolution_backward(
                upper, shifted, small, None, (stride,) * 2, (1, 1), (1, 1), False, (0, 0),
                channels, (False, True, False),
            )[1]  # fmt: skip
    return found


def _padded(size: int, reach: int, stride: int) -> int:
    """Pixels from the start of one image to the next: room for all taps, whole strides."""
    needed = size + max(reach, 2)
    return -(-needed // stride) * stride


def _centres(reach: int) -> Iterator[int]:
    """Middles of 3-tap blocks that cover the taps from -reach to reach."""
    yield from range(1 - reach, reach - 1, 3)
    yield reach - 1
