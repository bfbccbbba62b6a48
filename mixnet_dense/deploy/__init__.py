"""Trained models made ready to ship."""

from mixnet_dense.deploy.fuse import fuse

__all__ = ["fuse"]
