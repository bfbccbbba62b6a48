"""Weights: of other libraries converted to ours and back, and of our own checkpoints."""

from mixnet_dense.weights.conversion import convert, revert

__all__ = ["convert", "revert"]
