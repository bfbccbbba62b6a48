"""Equivalent ways to compute convolutions of channel groups, and which is taken where.

The measurements behind the choice are in docs/performance.md; `tools/benchmark.py` repeats
them.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mixnet_dense import native
from mixnet_dense.layout import is_channels_last, like

FORMS = ("split", "contiguous", "merged", "native")
"""``split``: a convolution per group on views of the map, concatenated: the plain form.
``contiguous``: the same on a dense copy of each group. ``merged``: one convolution; smaller
depthwise kernels get a border of zeros, grouped 1x1 convolutions run as torch's own.
``native``: depthwise groups by the kernels of `mixnet_dense.native`."""


def set_form(model: nn.Module, form: str | None) -> nn.Module:
    """Have every convolution of groups in a model computed in one form.

    Args:
        model: changed in place and returned.
        form: one of `FORMS`, or None for the automatic choice, which also stands in for a
            form that cannot be: merged groups of unequal dilation, native kernels without
            a compiler, on other maps than theirs, or for 1x1 convolutions.

    Raises:
        ValueError: an unknown form.
    """
    if form is not None and form not in FORMS:
        raise ValueError(f"form={form!r}: must be None or one of {FORMS}")
    for module in model.modules():
        if hasattr(module, "form"):
            module.form = form
    return model


def stem_weight(weight: Tensor, channels_last: bool | None) -> Tensor:
    """A first convolution's weights in the layout that its output is to have.

    torch gives a convolution's output the layout of its weights: maps become channels_last
    without a lasting copy of the images.

    Args:
        weight: (C, 3, K, K).
        channels_last: None for channels_last on a CPU, where it wins.
    """
    wanted = weight.device.type == "cpu" if channels_last is None else channels_last
    return weight.contiguous(memory_format=torch.channels_last) if wanted else weight


def depthwise_form(x: Tensor, weight: Tensor, mergeable: bool) -> str:
    """The form of a depthwise convolution or MixConv: merged without gradients, else native
    where that can be, else by layout.

    A weight's gradient costs by its full size, zeros included, so merging does not pay in
    training. Other devices than the CPU have the plain form: none was measured.
    """
    if x.device.type != "cpu":
        return "split"
    gradients = torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad)
    if mergeable and not gradients:
        return "merged"
    if gradients and native.handles(x):
        return "native"
    return "contiguous" if is_channels_last(x) else "split"


def pointwise_form(x: Tensor) -> str:
    """The form of a grouped 1x1 convolution: torch's own is fast on channels_last only."""
    return "merged" if x.device.type == "cpu" and is_channels_last(x) else "split"


def dense_parts(x: Tensor, channels: Sequence[int]) -> list[Tensor]:
    """Split (N, C, H, W) along C into dense copies in its layout.

    A slice along channels is strided in memory; on channels_last maps convolving it as it
    is costs many times the copy.
    """
    return [like(part, x) for part in x.split(list(channels), 1)]
