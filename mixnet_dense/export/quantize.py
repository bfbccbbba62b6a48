"""Post-training quantisation: int8 weights and activations in an ONNX model."""

import logging
from collections.abc import Sequence
from pathlib import Path

from mixnet_dense.export.exporter import Exported, save
from mixnet_dense.export.graph import network_input
from mixnet_dense.images import read_images

_PRODUCTS = ("Conv", "Gemm", "MatMul")  # Gemm: of squeeze-and-excitation alone


def quantize(made: Exported, images: Sequence[Path], form: str, path: str) -> None:
    """Write a file with int8 weights, per output channel, and uint8 or int8 activations.

    Ranges are NNCF's default, the means of the images' smallest and largest values. They are
    asymmetric for activations with few negative values, such as hard swish. Biases are
    corrected by the error of each layer's mean. Nodes after the last convolution, such as
    decoding, stay float. Of squeeze-and-excitation the weights alone are int8.

    Args:
        made: an export to a format that is made from an ONNX model.
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
    proto = nncf.compress_weights(proto, mode=nncf.CompressWeightsMode.INT8_SYM)
    save(proto, made.about, form, path)


def _float_nodes(proto) -> list[str]:
    """Names of the nodes whose inputs stay float.

    These are the nodes after the last convolution; products of two activations, of which one is
    a pooling's weights (`seg.heads`), whose range depends on the image's size; and the products
    of squeeze-and-excitation, where a mean range would cut off each image with a larger mean.
    """
    constant = {initializer.name for initializer in proto.graph.initializer}
    leading: set[str] = set()  # values that a convolution needs
    kept = []
    for node in reversed(proto.graph.node):  # nodes are in the order of execution
        weighted = node.op_type in ("Conv", "MatMul") and constant.intersection(node.input)
        if weighted or leading.intersection(node.output):
            leading.update(node.input)
        if not weighted and (node.op_type in _PRODUCTS or not leading.intersection(node.output)):
            kept.append(node.name)
    return kept
