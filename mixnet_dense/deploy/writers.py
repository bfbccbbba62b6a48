"""Writing a graph in the formats of `formats.FORMATS`."""

import io
import logging
import warnings

import torch
from torch import Tensor

from mixnet_dense.deploy.graph import KEY, Description, Graph


def onnx_model(graph: Graph, about: Description, sample: Tensor):
    """The graph as an ONNX model, for any batch and size if ``about`` has none."""
    sizes = None
    if about.batch is None:
        free = torch.export.Dim.DYNAMIC
        sizes = ({0: free, 2: free, 3: free},)
    # It tells of torchvision's operators, which nothing here has.
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            graph,
            (sample.contiguous(),),
            input_names=["images"],
            output_names=list(about.outputs),
            dynamic_shapes=sizes,
            dynamo=True,
            verbose=False,
        )
    return program.model_proto


def _save_onnx(proto, about: Description, path: str) -> None:
    import onnx
    from onnx import helper

    helper.set_model_props(_bare(proto), _readable(about))
    onnx.save(proto, path)


def _bare(proto):
    """An ONNX model without the notes of its making: a fifth of a small file, with local paths."""
    for part in (*proto.graph.node, *proto.graph.input, *proto.graph.output):
        del part.metadata_props[:]
    for initializer in proto.graph.initializer:
        del initializer.metadata_props[:]
    del proto.graph.metadata_props[:], proto.graph.value_info[:]
    return proto


def _save_openvino(proto, about: Description, path: str) -> None:
    import openvino

    model = openvino.convert_model(io.BytesIO(proto.SerializeToString()))
    for key, value in _readable(about).items():
        model.set_rt_info(value, key)
    openvino.save_model(model, path, compress_to_fp16=False)


def _readable(about: Description) -> dict[str, str]:
    """Metadata: all of it as JSON, and what people look for by itself."""
    return {
        KEY: about.to_json(),
        "config": about.config,
        "labels": ",".join(about.classes),
        "mean": ",".join(map(str, about.mean)),
        "std": ",".join(map(str, about.std)),
        "channels": "RGB" if about.bgr_to_rgb and not about.preprocess else "BGR",
        "size": f"{about.height or 'any'}x{about.width or 'any'}",
    }


def _torchscript(graph: Graph, about: Description, sample: Tensor, path: str) -> None:
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        script = torch.jit.trace(graph, (sample,), check_trace=False)
        torch.jit.save(script, path, _extra_files={KEY: about.to_json()})


SAVE = {"onnx": _save_onnx, "openvino": _save_openvino}
"""By format that is made of an ONNX model: functions of it, its description and a path."""

WRITE = {"torchscript": _torchscript}
"""By other format: functions of a graph, its description, an input to trace it with, a path."""
