"""Weights of other libraries, converted to ours."""

from mixnet_dense.weights.convert import convert

__all__ = ["convert"]
