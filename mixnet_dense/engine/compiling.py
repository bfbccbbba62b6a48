"""torch.compile for whole models."""

import os
import shutil

from mmengine.model import is_model_wrapper
from torch import nn

from mixnet_dense.errors import InputError


def compile_backbone(
    model: nn.Module, backend: str = "inductor", frozen: bool = False
) -> nn.Module:
    """Have torch compile a model's backbone when it first runs, in each mode and size.

    The backbone has nine tenths of the work and no branches that depend on values; heads
    and losses stay as they are. Parameters keep their names.

    Args:
        model: a backbone, a classifier, a detector or a segmenter, also in a wrapper for
            several devices; changed in place and returned.
        backend: of torch.compile.
        frozen: for inference: weights become constants, in the layout that is fastest for
            them. They must not change afterwards.
    """
    whole = model.module if is_model_wrapper(model) else model
    getattr(whole, "backbone", whole).compile(
        backend=backend, options={"freezing": True} if frozen else None
    )
    return model


def check_compiler() -> None:
    """Raise InputError if torch.compile would find no C++ compiler."""
    if not os.environ.get("CXX") and not any(map(shutil.which, ("g++", "clang++", "c++", "cl"))):
        raise InputError("--compile: torch.compile needs a C++ compiler such as g++; found none")
