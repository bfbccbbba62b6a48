"""Equivalent algorithms for convolutions of channel groups, and the choice among them.

The measurements that decide are in docs/performance.md; `tools/benchmark.py` repeats them.
"""

import torch
from torch import Tensor, nn

ALGORITHMS = ("split", "contiguous", "merged")
"""``split``: a convolution for each group on a view of the map, concatenated. ``contiguous``:
the same on a dense copy of each group. ``merged``: one convolution for all groups, where smaller
depthwise kernels get a border of zeros."""


def set_algorithm(model: nn.Module, algorithm: str | None) -> nn.Module:
    """Set the algorithm of every MixConv and every grouped 1x1 convolution, in place.

    None is the automatic choice; ``merged`` means it too where groups cannot be merged, such as
    those of unequal dilation.

    Raises:
        ValueError: not one of `ALGORITHMS`.
    """
    if algorithm is not None and algorithm not in ALGORITHMS:
        raise ValueError(f"algorithm={algorithm!r}: must be None or one of {ALGORITHMS}")
    for module in model.modules():
        if hasattr(module, "algorithm"):
            module.algorithm = algorithm
    return model


def choose(x: Tensor, weight: Tensor, mergeable: bool) -> str:
    """The algorithm for a MixConv: merged without gradients, else by memory layout.

    The gradient of a merged weight is computed for its zeros too, so merging is slow in
    training. Only CPUs were measured; other devices use ``split``.
    """
    if x.device.type != "cpu":
        return "split"
    if mergeable and not (torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad)):
        return "merged"
    return "contiguous" if is_channels_last(x) else "split"


def choose_pointwise(x: Tensor) -> str:
    """The algorithm for a grouped 1x1 convolution: torch's own is fast on channels_last only."""
    return "merged" if x.device.type == "cpu" and is_channels_last(x) else "split"


def is_channels_last(x: Tensor) -> bool:
    """Whether (N, C, H, W) lies in memory as (N, H, W, C), and not as (N, C, H, W) too."""
    return x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()


def in_layout_of(reference: Tensor, x: Tensor) -> Tensor:
    """``x`` as a dense tensor in the memory layout of ``reference``; copied if needed."""
    layout = torch.channels_last if is_channels_last(reference) else torch.contiguous_format
    return x.contiguous(memory_format=layout)
