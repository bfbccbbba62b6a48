"""Batch norm and activation of a training step as one operation; see norm.c."""

import ctypes

import torch
from torch import Tensor, nn

from mixnet_dense.native.library import handles, library, pointer

_ACTS = (nn.Identity, nn.ReLU, nn.ReLU6, nn.Hardswish, nn.SiLU)  # in norm.c's order


def norm_act_handles(x: Tensor, norm: nn.Module, act: nn.Module) -> bool:
    """Whether `norm_act` computes ``act(norm(x))``: a map as in `library.handles`, batch
    statistics of more than one value a channel, one of five activations."""
    return (
        isinstance(norm, nn.BatchNorm2d)
        and norm.training
        and norm.affine
        and norm.momentum is not None
        and norm.track_running_stats
        and type(act) in _ACTS
        and x.numel() > x.shape[1]
        and handles(x)
    )


def norm_act(x: Tensor, norm: nn.BatchNorm2d, act: nn.Module) -> Tensor:
    """``act(norm(x))`` of (N, C, H, W), running statistics updated; see `norm_act_handles`.

    Only ``x`` is kept for the backward pass, where torch keeps the normalised map too.
    """
    out, mean, variance = _NormAct.apply(
        x, norm.weight, norm.bias, norm.eps, _ACTS.index(type(act))
    )
    count = x.numel() // x.shape[1]
    norm.num_batches_tracked.add_(1)
    norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), norm.momentum)
    variance = variance * (count / (count - 1))
    norm.running_var.lerp_(variance.to(norm.running_var.dtype), norm.momentum)
    return out


class _NormAct(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor, eps: float, act: int):
        sizes = _sizes(x)
        mean, variance = torch.empty(2, x.shape[1], dtype=torch.float64)
        if library().statistics(pointer(x), *sizes, pointer(mean), pointer(variance)):
            raise MemoryError
        rate = (variance + eps).rsqrt()
        scale = weight * rate
        shift = (bias - mean * scale).float()
        kept = scale.float(), shift, mean.float()
        out = torch.empty_like(x)
        library().forward(act, pointer(x), *map(pointer, kept[:2]), pointer(out), *sizes)
        ctx.save_for_backward(x, scale, rate, *kept)
        ctx.act = act
        ctx.mark_non_differentiable(mean, variance)
        return out, mean, variance

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient: Tensor, *_):
        x, exact_scale, rate, scale, shift, mean = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        sizes, count = _sizes(x), x.numel() // x.shape[1]
        of_bias, product = torch.empty(2, x.shape[1], dtype=torch.float64)
        maps = pointer(x), pointer(gradient)
        vectors = pointer(mean), pointer(scale), pointer(shift)
        if library().sums(ctx.act, *maps, *vectors, *sizes, pointer(of_bias), pointer(product)):
            raise MemoryError
        of_weight = product * rate
        of_x = None
        if ctx.needs_input_grad[0]:
            slope = (exact_scale * rate * of_weight / -count).float()
            level = (exact_scale * of_bias / -count).float()
            of_x = torch.empty_like(x)
            last = pointer(slope), pointer(level), pointer(of_x)
            library().backward(ctx.act, *maps, *vectors, *last, *sizes)
        return of_x, of_weight.to(scale.dtype), of_bias.to(scale.dtype), None, None


def _sizes(x: Tensor) -> tuple:
    """Rows, channels and threads, as the kernels want them."""
    rows, channels = x.numel() // x.shape[1], x.shape[1]
    return ctypes.c_int64(rows), ctypes.c_int64(channels), torch.get_num_threads()
