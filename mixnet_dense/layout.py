"""How maps lie in memory."""

import torch
from torch import Tensor


def is_channels_last(x: Tensor) -> bool:
    """Whether (N, C, H, W) lies in memory as (N, H, W, C), and not as (N, C, H, W) too."""
    return x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()


def like(x: Tensor, model: Tensor) -> Tensor:
    """A map as a dense copy, or itself, in the layout of another."""
    layout = torch.channels_last if is_channels_last(model) else torch.contiguous_format
    return x.contiguous(memory_format=layout)
