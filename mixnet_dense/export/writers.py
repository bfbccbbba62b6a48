"""Write a graph in each format.

``save_…`` takes an ONNX model, its description and a path; ``trace_…`` a graph, an input to
trace it with and a path.
"""

import contextlib
import io
import logging
import os
import subprocess
import tempfile
import warnings
import zipfile
from pathlib import Path

import torch
from torch import Tensor, nn

from mixnet_dense.errors import InputError
from mixnet_dense.export.description import KEY, Description
from mixnet_dense.export.graph import Graph

_TALKATIVE = "torch.onnx._internal.exporter._registration"  # torchvision's operators, unused here


def onnx_model(graph: Graph, sample: Tensor):
    """The graph as an ONNX model, for any batch and size if its description has none."""
    sizes = None
    if graph.about.batch is None:
        free = torch.export.Dim.DYNAMIC
        sizes = ({0: free, 2: free, 3: free},)
    logging.getLogger(_TALKATIVE).setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            graph,
            (sample.contiguous(),),
            input_names=["images"],
            output_names=list(graph.about.outputs),
            dynamic_shapes=sizes,
            dynamo=True,
            verbose=False,
        )
    return program.model_proto


def save_onnx(proto, about: Description, path: str) -> None:
    import onnx
    from onnx import helper

    helper.set_model_props(_bare(proto), _properties(about))
    onnx.save(proto, path)


def _bare(proto):
    """An ONNX model without torch's debug notes: a fifth of a small file, with local paths."""
    for part in (*proto.graph.node, *proto.graph.input, *proto.graph.output):
        del part.metadata_props[:]
    for initializer in proto.graph.initializer:
        del initializer.metadata_props[:]
    del proto.graph.metadata_props[:], proto.graph.value_info[:]
    return proto


def save_openvino(proto, about: Description, path: str) -> None:
    import openvino

    model = openvino.convert_model(io.BytesIO(proto.SerializeToString()))
    for key, value in _properties(about).items():
        model.set_rt_info(value, key)
    openvino.save_model(model, path, compress_to_fp16=False)


def _properties(about: Description) -> dict[str, str]:
    """All metadata as JSON, and the most needed values also by their own names."""
    return {
        KEY: about.to_json(),
        "config": about.config,
        "labels": ",".join(about.classes),
        "mean": ",".join(map(str, about.mean)),
        "std": ",".join(map(str, about.std)),
        "channels": "RGB" if about.bgr_to_rgb and not about.preprocess else "BGR",
        "size": f"{about.height or 'any'}x{about.width or 'any'}",
    }


def save_ncnn(proto, about: Description, path: str) -> None:
    import onnx
    import pnnx

    stem = path.removesuffix(".param")
    with tempfile.TemporaryDirectory(dir=Path(path).parent) as work:
        onnx.save(_bare(proto), Path(work, "m.onnx"))
        command = [pnnx.EXEC_PATH, "m.onnx", "fp16=0"]
        done = subprocess.run(command, cwd=work, capture_output=True, text=True)
        if done.returncode or not Path(work, "m.ncnn.bin").is_file():
            raise InputError(f"--format ncnn: pnnx failed, exit code {done.returncode}")
        os.replace(Path(work, "m.ncnn.param"), path)
        os.replace(Path(work, "m.ncnn.bin"), f"{stem}.bin")
    Path(f"{stem}.json").write_text(about.to_json(), encoding="utf-8")


def trace_torchscript(graph: Graph, sample: Tensor, path: str) -> None:
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        script = torch.jit.trace(graph, (sample,), check_trace=False)
        content = io.BytesIO()  # written to a full disk, it would end the process
        torch.jit.save(script, content, _extra_files={KEY: graph.about.to_json()})
    # getbuffer() in a traceback crashes Python 3.12.1: github.com/python/cpython/issues/111049
    Path(path).write_bytes(content.getvalue())


def convert_tflite(module: nn.Module, sample: Tensor, path: str) -> None:
    """Write a TFLite file of a module and its input, without notes."""
    import litert_torch

    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        litert_torch.convert(module, (sample.contiguous(),)).export(path)


def trace_tflite(graph: Graph, sample: Tensor, path: str) -> None:
    convert_tflite(graph, sample, path)
    # Files that belong to a TFLite model are a zip archive at its end.
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("labels.txt", "\n".join(graph.about.classes))
        archive.writestr(f"{KEY}.json", graph.about.to_json())
