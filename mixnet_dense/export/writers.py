"""Writing a graph in the formats of `formats.FORMATS`."""

import contextlib
import io
import logging
import os
import subprocess
import sys
import tempfile
import warnings
import zipfile
from pathlib import Path

import torch
from torch import Tensor

from mixnet_dense.errors import InputError
from mixnet_dense.export.formats import FORMATS
from mixnet_dense.export.graph import KEY, Description, Graph


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


def _save_ncnn(proto, about: Description, path: str) -> None:
    import onnx
    import pnnx

    param, weights, notes = FORMATS["ncnn"].files(path)
    with tempfile.TemporaryDirectory(dir=param.parent) as work:
        onnx.save(_bare(proto), Path(work, "m.onnx"))
        command = [pnnx.EXEC_PATH, "m.onnx", "fp16=0"]
        done = subprocess.run(command, cwd=work, capture_output=True, text=True)
        if done.returncode or not Path(work, "m.ncnn.bin").is_file():
            raise InputError(f"--format ncnn: pnnx failed, exit code {done.returncode}")
        os.replace(Path(work, "m.ncnn.param"), param)
        os.replace(Path(work, "m.ncnn.bin"), weights)
    notes.write_text(about.to_json(), encoding="utf-8")


def _torchscript(graph: Graph, about: Description, sample: Tensor, path: str) -> None:
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        script = torch.jit.trace(graph, (sample,), check_trace=False)
        torch.jit.save(script, path, _extra_files={KEY: about.to_json()})


def _tflite(graph: Graph, about: Description, sample: Tensor, path: str) -> None:
    import litert_torch

    with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
        warnings.simplefilter("ignore")
        litert_torch.convert(graph, (sample.contiguous(),)).export(path)
    # Files that belong to a TFLite model are a zip archive at its end.
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("labels.txt", "\n".join(about.classes))
        archive.writestr(f"{KEY}.json", about.to_json())


SAVE = {"onnx": _save_onnx, "openvino": _save_openvino, "ncnn": _save_ncnn}
"""By format that is made of an ONNX model: functions of it, its description and a path."""

WRITE = {"torchscript": _torchscript, "tflite": _tflite}
"""By other format: functions of a graph, its description, an input to trace it with, a path."""
