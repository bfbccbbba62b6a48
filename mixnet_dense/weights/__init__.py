"""Weights of other libraries, converted to ours and back."""

from mixnet_dense.weights.convert import convert, revert

__all__ = ["convert", "revert"]
