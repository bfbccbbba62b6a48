"""Batch norm and activation of a training step as one operation; see norm.c."""

import torch
from torch import Tensor, nn

from mixnet_dense.native.library import ACTS, call, handles


def norm_act_handles(x: Tensor, norm: nn.Module, act: nn.Module) -> bool:
    """Whether `norm_act` computes ``act(norm(x))``: a map as in `library.handles`, batch
    statistics of more than one value a channel, one of five activations."""
    return (
        isinstance(norm, nn.BatchNorm2d)
        and norm.training
        and norm.affine
        and norm.weight.dtype == torch.float32
        and norm.momentum is not None
        and norm.track_running_stats
        and type(act) in ACTS
        and x.numel() > x.shape[1]
        and handles(x)
    )


def norm_act(x: Tensor, norm: nn.BatchNorm2d, act: nn.Module) -> Tensor:
    """``act(norm(x))`` of (N, C, H, W), running statistics updated; see `norm_act_handles`.

    Only ``x`` is kept for the backward pass, where torch keeps the normalised map too.
    """
    out, mean, variance = _NormAct.apply(x, norm.weight, norm.bias, norm.eps, ACTS.index(type(act)))
    count = x.numel() // x.shape[1]
    norm.num_batches_tracked.add_(1)
    norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), norm.momentum)
    variance = variance * (count / (count - 1))
    norm.running_var.lerp_(variance.to(norm.running_var.dtype), norm.momentum)
    return out


class _NormAct(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor, eps: float, act: int):
        mean, variance = torch.empty(2, x.shape[1], dtype=torch.float64)
        out = torch.empty_like(x)
        call("norm_forward", act, x, weight, bias, eps, out, mean, variance, *_sizes(x))
        ctx.save_for_backward(x, weight, bias, mean, variance)
        ctx.eps, ctx.act = eps, act
        ctx.mark_non_differentiable(mean, variance)
        return out, mean, variance

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, upper: Tensor, *_):
        x, weight, bias, mean, variance = ctx.saved_tensors
        upper = upper.contiguous(memory_format=torch.channels_last)
        of_x = torch.empty_like(x) if ctx.needs_input_grad[0] else None
        of_weight, of_bias = torch.empty_like(weight), torch.empty_like(bias)
        call(
            "norm_backward", ctx.act, x, upper, weight, bias, ctx.eps, mean, variance,
            of_x, of_weight, of_bias, *_sizes(x),
        )  # fmt: skip
        return of_x, of_weight, of_bias, None, None


def _sizes(x: Tensor) -> tuple[int, int, int]:
    """Rows, channels and threads, as the kernels want them."""
    return x.numel() // x.shape[1], x.shape[1], torch.get_num_threads()
