"""Equivalent ways to compute convolutions of channel groups, and which is taken where.

The measurements that decide are in docs/performance.md; `tools/benchmark.py` repeats them.
"""

import torch
from torch import Tensor, nn

ALGORITHMS = ("split", "contiguous", "merged")
"""``split``: a convolution for each group on a view of the map, concatenated. ``contiguous``:
the same on a dense copy of each group. ``merged``: one convolution for all groups, where smaller
depthwise kernels get a border of zeros."""


def set_algorithm(model: nn.Module, algorithm: str | None) -> nn.Module:
    """Have every convolution of groups in a model computed by one algorithm.

    Args:
        model: changed in place and returned.
        algorithm: one of `ALGORITHMS`, or None for the automatic choice, which is also
            taken where groups of unequal dilation cannot be merged.

    Raises:
        ValueError: an unknown algorithm.
    """
    if algorithm is not None and algorithm not in ALGORITHMS:
        raise ValueError(f"algorithm={algorithm!r}: must be None or one of {ALGORITHMS}")
    for module in model.modules():
        if hasattr(module, "algorithm"):
            module.algorithm = algorithm
    return model


def choose(x: Tensor, weight: Tensor, mergeable: bool) -> str:
    """The algorithm for a MixConv: merged without gradients, else by memory layout.

    The gradient of a merged weight costs by its full size, zeros included, so merging does
    not pay in training. Only CPUs were measured; other devices take the plain algorithm.
    """
    if x.device.type != "cpu":
        return "split"
    if mergeable and not (torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad)):
        return "merged"
    return "contiguous" if is_channels_last(x) else "split"


def choose_pointwise(x: Tensor) -> str:
    """The algorithm for a grouped 1x1 convolution: torch's own is fast on channels_last only."""
    return "merged" if x.device.type == "cpu" and is_channels_last(x) else "split"


def stem_weight(weight: Tensor, channels_last: bool | None) -> Tensor:
    """The weights of a first convolution in the memory layout that its output is to have.

    torch gives the output of a convolution the layout of its weights: maps become
    channels_last without a lasting copy of the images.

    Args:
        weight: (C, 3, K, K).
        channels_last: None for channels_last on a CPU, where it is faster.
    """
    wanted = weight.device.type == "cpu" if channels_last is None else channels_last
    return weight.contiguous(memory_format=torch.channels_last) if wanted else weight


def is_channels_last(x: Tensor) -> bool:
    """Whether (N, C, H, W) lies in memory as (N, H, W, C), and not as (N, C, H, W) too."""
    return x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()


def in_layout_of(reference: Tensor, x: Tensor) -> Tensor:
    """A map as a dense copy, or itself, in the memory layout of another map."""
    layout = torch.channels_last if is_channels_last(reference) else torch.contiguous_format
    return x.contiguous(memory_format=layout)
