"""Parameters and multiply-adds as exact integers.

torch's own FlopCounterMode counts while the model runs on the meta device, where tensors have
shapes but no values, so that the input size costs no time. It sees every operator and counts
convolutions and matrix products exactly: two operations for a multiply-add, none for biases.
"""

import copy
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, flop_registry

_NORMS = (_NormBase, nn.GroupNorm, nn.LayerNorm)
# Operators that only copy or reshape.
_FREE = {
    "_to_copy", "_unsafe_view", "alias", "as_strided", "cat", "clone", "constant_pad_nd",
    "copy", "detach", "empty", "expand", "permute", "select", "slice", "split",
    "split_with_sizes", "squeeze", "stack", "t", "transpose", "unsqueeze", "view",
}  # fmt: skip
# Operations that TensorFlow's profiler counts for an output element. It counts none for batch
# norm, ReLU and swish. `_Others` adds biases and pooling windows.
_PROFILED = {"hardswish": 3, "hardsigmoid": 2, "sigmoid": 2, "mul": 1, "add": 1}


class Cost(NamedTuple):
    """Parameters, those outside normalisation layers, and multiply-adds of one image."""

    params: int
    params_without_norm: int
    macs: int


class Part(NamedTuple):
    """A module of a model: its name, parameters and multiply-adds."""

    name: str
    params: int
    macs: int


class Analysis(NamedTuple):
    """A model's cost, and what is not multiply-adds."""

    cost: Cost
    parts: list[Part]
    uncounted: dict[str, int]  # how often other operators ran, by name
    operations: int  # what TensorFlow's profiler counts of them, see `_PROFILED`

    @property
    def profiled(self) -> int:
        """The macs plus half of the other operations, which is what some papers print."""
        return self.cost.macs + self.operations // 2


def measure(model: nn.Module, shape: Sequence[int]) -> Cost:
    """Exact cost of a model for one image of the shape (H, W).

    The model is any module that takes (N, 3, H, W), or a whole mm detector or segmenter.
    """
    return analyse(model, shape).cost


def analyse(model: nn.Module, shape: Sequence[int], depth: int = 2) -> Analysis:
    """Like `measure`, also for each module, down to ``depth`` levels of names."""
    twin = copy.deepcopy(model).to("meta").eval()
    counter, others = FlopCounterMode(display=False, depth=None), _Others()
    image = torch.empty(1, 3, *shape, device="meta")
    options = dict(mode="tensor") if hasattr(model, "data_preprocessor") else {}  # mm's models
    with torch.no_grad(), counter, others:
        twin(image, **options)
    flops = {name: sum(ops.values()) for name, ops in counter.get_flop_counts().items()}
    norms = [module for module in model.modules() if isinstance(module, _NORMS)]
    params = _count(model)  # `nn.Module.parameters` has a shared one once
    cost = Cost(params, params - sum(map(_count, norms)), counter.get_total_flops() // 2)
    return Analysis(cost, _parts(twin, flops, depth), dict(others.seen), others.operations)


def _count(module: nn.Module, recurse: bool = True) -> int:
    return sum(parameter.numel() for parameter in module.parameters(recurse))


def _parts(model: nn.Module, flops: dict[str, int], depth: int) -> list[Part]:
    """Sums over the modules that share the first ``depth`` levels of their names.

    A container such as ModuleList is never called, so its leaves are counted.
    """
    sums: dict[str, list[int]] = {}
    for name, module in model.named_modules():
        part = sums.setdefault(".".join(name.split(".")[:depth]), [0, 0])
        part[0] += _count(module, recurse=False)
        if next(module.children(), None) is None:
            part[1] += flops.get(f"{type(model).__name__}.{name}".rstrip("."), 0) // 2
    return [Part(name, *pair) for name, pair in sums.items() if any(pair)]


class _Others(TorchDispatchMode):
    """Counts the operators that FlopCounterMode ignores."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()
        self.operations = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__.rstrip("_")
        if func.overloadpacket not in flop_registry and name not in _FREE:
            self.seen[name] += 1
        if name == "native_batch_norm":  # torch needs half of the time for its shape
            return torch.empty_like(args[0]), args[0].new_empty(0), args[0].new_empty(0)
        out = func(*args, **(kwargs or {}))
        if name == "addmm" or (name == "convolution" and args[2] is not None):
            self.operations += out.numel()  # the bias
        elif name == "mean" and out.dim() == 4:  # global pooling
            self.operations += args[0].numel()
        elif name == "avg_pool2d":
            self.operations += out.numel() * args[1][0] * args[1][1]
        elif name in _PROFILED:
            self.operations += _PROFILED[name] * out.numel()
        return out
