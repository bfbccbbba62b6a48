"""Depthwise convolutions of channel groups in one operation; see depthwise.c."""

import ctypes
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mixnet_dense.native.library import ACTS, call


class Group(NamedTuple):
    """How one group of channels is convolved.

    Attributes:
        kernel, dilation: of its taps.
        top, left: zeros added before the map's first row and column.
    """

    kernel: int
    dilation: int
    top: int
    left: int


class _Group(ctypes.Structure):
    _names = ("first", "width", "kernel", "dilation", "top", "left")
    _fields_ = [*((name, ctypes.c_int64) for name in _names), ("weight", ctypes.c_void_p)]


class _Maps(ctypes.Structure):
    _names = ("images", "channels", "height", "width", "out_height", "out_width", "stride")
    _fields_ = [(name, ctypes.c_int64) for name in _names]


def depthwise(x: Tensor, weights: Sequence[Tensor], groups: Sequence[Group], stride: int) -> Tensor:
    """Convolve channel groups: (N, C, H, W) -> (N, C, ceil(H / stride), ceil(W / stride)).

    Args:
        x: float32 in channels_last on a CPU, see `library.handles`.
        weights: (C_i, 1, K_i, K_i) each, in channel order.
        groups: one for each weight.
        stride: of every group.
    """
    return _Depthwise.apply(x, tuple(groups), stride, *weights)


def depthwise_act(
    x: Tensor,
    weights: Sequence[Tensor],
    groups: Sequence[Group],
    stride: int,
    bias: Tensor,
    act: nn.Module,
) -> Tensor:
    """``act(depthwise(x) + bias)`` without gradients; ``act`` one of `library.ACTS`."""
    return _forward(x, weights, groups, stride, bias, ACTS.index(type(act)))


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, groups: tuple[Group, ...], stride: int, *weights: Tensor):
        weights = [weight.contiguous() for weight in weights]
        ctx.save_for_backward(x, *weights)
        ctx.groups, ctx.stride = groups, stride
        return _forward(x, weights, groups, stride)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient: Tensor):
        x, *weights = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        maps = _maps(x, gradient.shape[-2:], ctx.stride)
        of_x, of_weights = None, [None] * len(weights)
        if ctx.needs_input_grad[0]:
            of_x = torch.empty_like(x)
            table = _table(ctx.groups, weights)
            call("depthwise", True, gradient, of_x, maps, *table, None, 0, torch.get_num_threads())
        if any(ctx.needs_input_grad[3:]):
            of_weights = [torch.empty_like(weight) for weight in weights]
            table = _table(ctx.groups, of_weights)
            call("depthwise_weights", x, gradient, maps, *table, torch.get_num_threads())
        return of_x, None, None, *of_weights


def _forward(x: Tensor, weights, groups, stride: int, bias: Tensor | None = None, act: int = 0):
    size = tuple(-(-side // stride) for side in x.shape[-2:])
    out = torch.empty(*x.shape[:2], *size, dtype=x.dtype, memory_format=torch.channels_last)
    maps, table = _maps(x, size, stride), _table(groups, weights)
    call("depthwise", False, x, out, maps, *table, bias, act, torch.get_num_threads())
    return out


def _maps(x: Tensor, size: Sequence[int], stride: int) -> _Maps:
    return _Maps(*x.shape, *size, stride)


def _table(groups: Sequence[Group], weights: Sequence[Tensor]) -> tuple[ctypes.Array, int]:
    """Groups as the kernels want them, and how many they are."""
    rows, first = [], 0
    for group, weight in zip(groups, weights, strict=True):
        rows.append(_Group(first, len(weight), *group, weight.data_ptr()))
        first += len(weight)
    return (_Group * len(rows))(*rows), len(rows)
