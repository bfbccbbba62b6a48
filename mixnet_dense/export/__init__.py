"""Trained models made ready to ship."""

from mixnet_dense.export.fuse import fuse

__all__ = ["fuse", "load"]


def __getattr__(name: str):
    """`predictor.load`, imported when asked for: it needs the hosts, `fuse` does not."""
    if name == "load":
        from mixnet_dense.export.predictor import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
