"""Equivalent algorithms for convolutions of channel groups, and the choice among them.

The choice is data: `MIXCONV` and `POINTWISE` are lists of rules, of which the first that fits a
call is taken. `tools/benchmark.py mixnet_s mixnet_l --mode layers layers-train` measures all of
them, layer by layer; docs/performance.md has the result.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

ALGORITHMS = ("split", "contiguous", "grouped", "merged")
"""``split``: a convolution for each group on a view of the map, concatenated. ``contiguous``:
the same on a dense copy of each group. ``grouped``: torch's own convolution with groups, for 1x1
kernels. ``merged``: one convolution with zeros: smaller depthwise kernels get a border of them,
1x1 kernels are zero between the groups and there are no groups."""


class Call(NamedTuple):
    """What the choice depends on."""

    device: str
    channels_last: bool
    training: bool
    """Gradients are wanted, of the map or of the weight."""
    bytes: int
    """Of the input map."""
    narrowest: int
    """Channels of a group, of the input or of the output."""
    mergeable: bool = True


class Rule(NamedTuple):
    """Where an algorithm is taken, and how many times as fast as the plain form it was there.

    The plain form is ``split`` in the NCHW layout. Without gradients: one image of 320 x 320 on one
    thread. With them: forward and backward of eight on two. Ranges are over the layers of MixNet-S
    and MixNet-L that the rule fits, on an AMD EPYC with each instruction set.
    """

    fits: Callable[[Call], bool]
    algorithm: str
    avx512: str
    avx2: str


OTHER_DEVICES = Rule(lambda call: call.device != "cpu", "split", "not measured", "not measured")
MIXCONV = (
    OTHER_DEVICES,
    # The gradient of a merged weight is computed for its zeros too, so only without gradients.
    Rule(lambda call: call.mergeable and not call.training, "merged", "0.9 to 3.2", "0.5 to 1.4"),
    # The dense copies are kept for the backward pass: too much memory for the largest maps.
    Rule(
        lambda call: call.channels_last and not (call.training and call.bytes >= 2**26),
        "contiguous", "1.3 to 2.1", "1.2 to 2.6",
    ),
    Rule(lambda call: True, "split", "1.4 in channels_last", "1.2 in channels_last"),
)  # fmt: skip
POINTWISE = (
    OTHER_DEVICES,
    # oneDNN's gradients of groups of few channels are slow.
    Rule(
        lambda call: call.channels_last and call.training and call.narrowest <= 20,
        "merged", "1.3 to 2.4", "1.1 to 2.2",
    ),
    Rule(lambda call: call.channels_last, "grouped", "0.4 to 1.7", "0.7 to 1.4"),
    Rule(lambda call: True, "split", "1", "1"),
)  # fmt: skip


def choose(
    rules: tuple[Rule, ...], x: Tensor, weight: Tensor, narrowest: int, mergeable: bool = True
) -> str:
    """The algorithm for a map and the weight (of the first group) of a layer; see `Call`."""
    call = Call(
        x.device.type,
        is_channels_last(x),
        torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad),
        x.numel() * x.element_size(),
        narrowest,
        mergeable,
    )
    return next(rule.algorithm for rule in rules if rule.fits(call))


def set_algorithm(model: nn.Module, algorithm: str | None) -> nn.Module:
    """Set the algorithm of every MixConv and every grouped 1x1 convolution, in place.

    None is the automatic choice. An algorithm that a layer does not have means it too: ``grouped``
    for a MixConv, ``merged`` for groups that cannot be merged, such as those of unequal dilation.

    Raises:
        ValueError: not one of `ALGORITHMS`.
    """
    if algorithm is not None and algorithm not in ALGORITHMS:
        raise ValueError(f"algorithm={algorithm!r}: must be None or one of {ALGORITHMS}")
    for module in model.modules():
        if hasattr(module, "algorithm"):
            module.algorithm = algorithm
    return model


def set_channels_last(model: nn.Module, channels_last: bool | None) -> nn.Module:
    """Set the memory layout that every stem asks for, in place; see `MobileBackbone`."""
    for module in model.modules():
        if hasattr(module, "channels_last"):
            module.channels_last = channels_last
    return model


def is_channels_last(x: Tensor) -> bool:
    """Whether (N, C, H, W) lies in memory as (N, H, W, C), and not as (N, C, H, W) too."""
    return x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()


def in_layout_of(reference: Tensor, x: Tensor) -> Tensor:
    """``x`` as a dense tensor in the memory layout of ``reference``; copied if needed."""
    layout = torch.channels_last if is_channels_last(reference) else torch.contiguous_format
    return x.contiguous(memory_format=layout)
