"""Hooks and optimiser wrappers; importing this registers them."""

from mixnet_dense import compat
from mixnet_dense.engine.amp import CpuAmpOptimWrapper
from mixnet_dense.engine.finetune import FixedNormHook
from mixnet_dense.engine.live import LiveProgressHook

__all__ = ["CpuAmpOptimWrapper", "FixedNormHook", "LiveProgressHook"]

compat.guard_checkpoint_loading()
