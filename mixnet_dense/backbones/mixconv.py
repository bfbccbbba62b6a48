"""MixConv: one depthwise convolution with several kernel sizes.

Paper: https://arxiv.org/abs/1907.09595, section 3. Channels are split into groups,
each convolved with its own kernel size, and concatenated in order. As in the paper's
code a remainder of channels goes to the first group.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixnet_dense import native
from mixnet_dense.backbones.arch import check_kernels, partition_channels
from mixnet_dense.backbones.forms import dense_parts, depthwise_form
from mixnet_dense.layout import like

PADDINGS = ("symmetric", "same")


def pad_same(x: Tensor, kernel: int, stride: int, dilation: int = 1) -> Tensor:
    """Pad (N, C, H, W) as TensorFlow's SAME does: the odd pixel goes right and below."""
    height, width = (_missing(size, kernel, stride, dilation) for size in x.shape[-2:])
    return F.pad(x, (width // 2, width - width // 2, height // 2, height - height // 2))


def _missing(size: int, kernel: int, stride: int, dilation: int) -> int:
    """Pixels that SAME adds along one side."""
    return max((-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)


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
        return self.convolve(x, self.weight)

    def group(self, x: Tensor) -> native.Group:
        """What `native.depthwise` needs to know of it for a map (N, C, H, W)."""
        kernel, dilation = self.kernel_size[0], self.dilation[0]
        if self.same:
            missing = (_missing(size, kernel, self.stride[0], dilation) for size in x.shape[-2:])
            return native.Group(kernel, dilation, *(count // 2 for count in missing))
        return native.Group(kernel, dilation, *self.padding)

    def convolve(self, x: Tensor, weight: Tensor) -> Tensor:
        """This convolution with other weights (C, 1, K, K), for any C and K."""
        kernel = weight.shape[-1]
        spread = self.dilation[0]
        if self.same:
            x = pad_same(x, kernel, self.stride[0], spread)
        padding = 0 if self.same else (kernel - 1) // 2 * spread
        return F.conv2d(x, weight, None, self.stride, padding, spread, len(weight))


class MixConv2d(nn.ModuleList):
    """Depthwise convolution with a kernel size per channel group.

    Maps (N, C, H, W) to (N, C, ceil(H / stride), ceil(W / stride)). Its children are
    plain depthwise convolutions in group order. `forms` has the ways it is computed.

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
        self.form: str | None = None
        # TensorFlow pads a strided 1x1 kernel less than the border it would get.
        cropped = padding == "same" and stride > 1 and 1 in kernel_sizes
        self.mergeable = len({conv.dilation for conv in convs}) == 1 and not cropped

    def merged_weight(self) -> Tensor:
        """All weights in kernels of the largest size K, zeros around the smaller: (C, 1, K, K)."""
        largest = max(conv.kernel_size[0] for conv in self)
        borders = [(largest - conv.kernel_size[0]) // 2 for conv in self]
        return torch.cat(
            [F.pad(conv.weight, [border] * 4) for conv, border in zip(self, borders, strict=True)]
        )

    def forward(self, x: Tensor) -> Tensor:
        form = self.form
        if form is None or not self._can_be(form, x):
            form = depthwise_form(x, self[0].weight, self.mergeable)
        if form == "native":
            return self._native(x)
        if len(self) == 1:
            return self[0](x)
        if form == "merged":
            return self[0].convolve(x, self.merged_weight())
        if form == "contiguous":
            return self._contiguous(x)
        parts = x.split(self.splits, 1)
        return torch.cat([conv(part) for conv, part in zip(self, parts, strict=True)], 1)

    def _can_be(self, form: str, x: Tensor) -> bool:
        if form == "native":
            return native.handles(x)
        return form != "merged" or self.mergeable

    def _native(self, x: Tensor) -> Tensor:
        weights = [conv.weight for conv in self]
        groups = [conv.group(x) for conv in self]
        return native.depthwise(x, weights, groups, self[0].stride[0])

    def _contiguous(self, x: Tensor) -> Tensor:
        weights = [conv.weight for conv in self]
        if torch.is_autocast_enabled(x.device.type):
            dtype = torch.get_autocast_dtype(x.device.type)
            x, weights = x.to(dtype), [weight.to(dtype) for weight in weights]
        if any(conv.same for conv in self):  # each kernel pads its own copy
            parts = dense_parts(x, self.splits)
            out = [c.convolve(*pair) for c, *pair in zip(self, parts, weights, strict=True)]
            return torch.cat(out, 1)
        return _ConvolveCopies.apply(x, list(self), *weights)


class _ConvolveCopies(torch.autograd.Function):
    """Convolutions of dense copies of channel groups, which the backward pass makes anew.

    Kept copies would be held beside the map they are of, where a ReLU keeps that one.
    """

    @staticmethod
    def forward(ctx, x: Tensor, convs: list[DepthwiseConv2d], *weights: Tensor) -> Tensor:
        ctx.save_for_backward(x, *weights)
        ctx.convs = convs
        parts = dense_parts(x, [len(weight) for weight in weights])
        out = [c.convolve(*pair) for c, *pair in zip(convs, parts, weights, strict=True)]
        return torch.cat(out, 1)

    @staticmethod
    def backward(ctx, gradient: Tensor):
        x, *weights = ctx.saved_tensors
        channels = [len(weight) for weight in weights]
        parts = zip(x.split(channels, 1), gradient.split(channels, 1), strict=True)
        for_x, for_weights = ctx.needs_input_grad[0], any(ctx.needs_input_grad[2:])
        of_x, of_weights = [], []
        for conv, weight, (part, upper) in zip(ctx.convs, weights, parts, strict=True):
            lower_gradient, weight_gradient, _ = torch.ops.aten.convolution_backward(
                like(upper, x), like(part, x), weight, None, conv.stride, conv.padding,
                conv.dilation, False, (0, 0), len(weight), (for_x, for_weights, False),
            )  # fmt: skip
            of_x.append(lower_gradient)
            of_weights.append(weight_gradient)
        return torch.cat(of_x, 1) if for_x else None, None, *of_weights
