"""Hooks; importing this registers them."""

from mixnet_dense.engine.progress import LiveProgressHook

__all__ = ["LiveProgressHook"]
