"""Finds where a computation would wait for a GPU, on a machine without one.

The ``meta`` device stands for the GPU: torch computes shapes there, and nothing can read a value.
"""

from contextlib import contextmanager

import numpy as np
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

aten = torch.ops.aten
# They read values to know the size of their result, or bring one to the host.
_READS = {
    aten._local_scalar_dense.default,
    aten.nonzero.default,
    aten.masked_select.default,
    aten.is_nonzero.default,
    aten.equal.default,
    aten._unique2.default,
    aten.bincount.default,
}
# These and an index that is a list copy what the host has, below what a dispatch mode sees.
_COPIES = {torch.Tensor.new_tensor, torch.tensor, torch.as_tensor}
_ITEMS = {torch.Tensor.__getitem__, torch.Tensor.__setitem__}
_INDEXED = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default}


class _Operations(TorchDispatchMode):
    def __init__(self, found: list[str]):
        super().__init__()
        self.found = found

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        gpu = any(isinstance(x, torch.Tensor) and x.is_meta for x in tree_leaves((args, kwargs)))
        if gpu and func in _READS:
            self.found.append(f"{func} reads values")
        if gpu and func in _INDEXED:
            indices = [index for index in args[1] if index is not None]
            if any(index.dtype == torch.bool or not index.is_meta for index in indices):
                self.found.append(f"{func} by a mask, or by indices of the host")
        result = func(*args, **kwargs)
        if func in (aten._to_copy.default, aten.copy_.default):
            source, target = (args[0], result) if func is aten._to_copy.default else args[1::-1]
            waits = not (kwargs.get("non_blocking") or True in args[2:])
            if source.device != target.device and waits:
                self.found.append(f"{func} from {source.device} to {target.device}")
        return result


class _Functions(TorchFunctionMode):
    def __init__(self, found: list[str]):
        super().__init__()
        self.found = found

    def __torch_function__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if func in _COPIES and result.is_meta:
            self.found.append(f"{func.__name__} from the host")
        if func in _ITEMS and args[0].is_meta:
            index = args[1] if isinstance(args[1], tuple) else (args[1],)
            if any(isinstance(part, (list, np.ndarray)) for part in index):
                self.found.append(f"{func.__name__} by a list")
        return result


@contextmanager
def no_waits():
    """Fail at the end if anything within would have waited for the GPU."""
    found = []
    with _Functions(found), _Operations(found):
        try:
            yield
        except (RuntimeError, NotImplementedError) as error:  # there is no value to read
            found.append(str(error))
    assert not found, found
