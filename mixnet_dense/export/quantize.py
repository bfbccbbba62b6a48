"""Post-training quantisation: int8 weights and activations in an ONNX model."""

import logging
from collections.abc import Sequence
from pathlib import Path

from mixnet_dense.export.exporter import Exported, save
from mixnet_dense.export.graph import network_input
from mixnet_dense.images import read_images

_WEIGHTED = ("Conv", "Gemm", "MatMul")  # operators that have weights in the networks here


def quantize(made: Exported, images: Sequence[Path], form: str, path: str) -> None:
    """Write a file with int8 weights, per output channel, and uint8 or int8 activations.

    Ranges are those that the images reach (NNCF's defaults: means of the smallest and largest
    values), asymmetric where an activation such as hard swish has few negative values, and
    biases are corrected by the error of each layer's mean. What follows the last convolution,
    such as decoding, stays float.

    Args:
        made: of a format that is made of an ONNX model.
        images: some hundred files; each is read more than once.
        form: a name in `formats.FORMATS`.
        path: the file to write.

    Raises:
        InputError: an image that cannot be read.
    """
    import nncf

    def read(image: Path) -> dict:
        batch = read_images([image]) * (made.about.batch or 1)
        return {"images": network_input(batch, made.sample.shape[-2:], made.about).numpy()}

    nncf.set_log_level(logging.ERROR)
    proto = nncf.quantize(
        made.proto,
        nncf.Dataset(images, read),
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(images),
        ignored_scope=nncf.IgnoredScope(names=_float_nodes(made.proto)),
    )
    save(proto, made.about, form, path)


def _float_nodes(proto) -> list[str]:
    """Names of the nodes that stay float.

    Those from which no convolution is reached, and products of two activations: one of them
    is the weights of a pooling (`seg.heads`), whose range follows the size of the image.
    """
    constant = {initializer.name for initializer in proto.graph.initializer}
    leading: set[str] = set()  # values that a convolution needs
    kept = []
    for node in reversed(proto.graph.node):  # which are in the order of their use
        weighted = node.op_type in _WEIGHTED and any(name in constant for name in node.input)
        if weighted or leading.intersection(node.output):
            leading.update(node.input)
        if not weighted and (node.op_type in _WEIGHTED or not leading.intersection(node.output)):
            kept.append(node.name)
    return kept
