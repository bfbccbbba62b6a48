"""Post-training quantisation: int8 weights and activations in an ONNX model."""

import logging
from collections.abc import Callable, Sequence

import numpy as np

WEIGHTED = ("Conv", "Gemm", "MatMul")
"""Operators that have weights in the networks here."""


def quantize(proto, items: Sequence, read: Callable[[object], np.ndarray]):
    """An ONNX model with int8 weights, per output channel, and uint8 or int8 activations.

    Ranges are those that the items reach (NNCF's defaults: means of the smallest and largest
    values), asymmetric where an activation such as hard swish has few negative values, and
    biases are corrected by the error of each layer's mean. What follows the last convolution,
    such as decoding, stays float.

    Args:
        proto: float32.
        items: some hundreds of whatever ``read`` reads, more than once.
        read: gives an item as the model takes it, (N, 3, H, W) float32.
    """
    import nncf

    nncf.set_log_level(logging.ERROR)
    return nncf.quantize(
        proto,
        nncf.Dataset(items, lambda item: {"images": read(item)}),
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(items),
        ignored_scope=nncf.IgnoredScope(names=_kept(proto)),
    )


def _kept(proto) -> list[str]:
    """Names of the nodes that stay float.

    Those from which no convolution is reached, and products of two activations: one of them
    is the weights of a pooling (`seg.heads`), whose range follows the size of the image.
    """
    constant = {initializer.name for initializer in proto.graph.initializer}
    leading: set[str] = set()  # values that a convolution needs
    kept = []
    for node in reversed(proto.graph.node):  # which are in the order of their use
        weighted = node.op_type in WEIGHTED and any(name in constant for name in node.input)
        if weighted or leading.intersection(node.output):
            leading.update(node.input)
        if not weighted and (node.op_type in WEIGHTED or not leading.intersection(node.output)):
            kept.append(node.name)
    return kept
