"""Hooks and optimiser wrappers; importing this registers them."""

from mixnet_dense.engine.amp import CpuAmpOptimWrapper
from mixnet_dense.engine.progress import LiveProgressHook

__all__ = ["CpuAmpOptimWrapper", "LiveProgressHook"]
