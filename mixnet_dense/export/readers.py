"""Open exported files, each with its own runtime.

A function takes a path and a number of threads, None for the runtime's own choice. It
returns a call from images (N, 3, H, W) float32 to outputs in their order, and the metadata's
text, None if there is none. It raises InputError if the runtime cannot read the file.
"""

import functools
import zipfile
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from mixnet_dense.errors import InputError, first_line
from mixnet_dense.export.description import KEY

Call = Callable[[np.ndarray], Sequence[np.ndarray]]


@contextmanager
def _broken_file_named(path: str, format: str, *kinds: type[Exception]):
    """Turn the exceptions of a runtime that cannot read a file into one line."""
    try:
        yield
    except kinds as error:
        line = first_line(error)
        raise InputError(f"'{path}': cannot be read as {format}: {line}") from error


def open_onnx(path: str, threads: int | None) -> tuple[Call, str | None]:
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as kinds

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # Convert int8 weights to float once, not at each call. ONNX Runtime has no int8 convolution
    # with a hard swish after it, and without this option the file is slower than float.
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    if threads:
        options.intra_op_num_threads = threads
    providers = onnxruntime.get_available_providers()
    broken = (kinds.InvalidProtobuf, kinds.InvalidArgument, kinds.InvalidGraph)
    newer = (kinds.Fail, kinds.NotImplemented)  # operators or a version it does not know
    with _broken_file_named(path, "onnx", *broken, *newer):
        session = onnxruntime.InferenceSession(path, options, providers=providers)
    text = session.get_modelmeta().custom_metadata_map.get(KEY)
    return lambda images: session.run(None, {"images": images}), text


@functools.cache
def _openvino_core():
    """The one OpenVINO core of the process.

    A core's CPU plugin sets a signal stack for the main thread, and restores the previous
    stack when it is destroyed. If the older of two cores is destroyed first, the stack that
    the other one restores is freed already. Then the process dies at the next signal, such as
    the one at the end of a data worker.
    """
    import openvino

    return openvino.Core()


def open_openvino(path: str, threads: int | None) -> tuple[Call, str | None]:
    settings = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    if threads:
        settings["INFERENCE_NUM_THREADS"] = threads
    with _broken_file_named(path, "openvino", RuntimeError):
        model = _openvino_core().read_model(path)
        compiled = _openvino_core().compile_model(model, "CPU", settings)
    request = compiled.create_infer_request()

    def call(images):
        found = request.infer([images])
        return [found[output] for output in compiled.outputs]  # copies already

    return call, model.get_rt_info(KEY).value if model.has_rt_info(KEY) else None


def open_torchscript(path: str, threads: int | None) -> tuple[Call, str | None]:
    import torch

    extra = {KEY: ""}
    with _broken_file_named(path, "torchscript", RuntimeError):
        module = torch.jit.load(path, map_location="cpu", _extra_files=extra)

    @torch.inference_mode()
    def call(images):
        if threads:
            torch.set_num_threads(threads)
        return [found.numpy() for found in module(torch.from_numpy(images))]

    text = extra[KEY]
    return call, text.decode() if isinstance(text, bytes) else text


def open_tflite(path: str, threads: int | None) -> tuple[Call, str | None]:
    from ai_edge_litert.interpreter import Interpreter

    with _broken_file_named(path, "tflite", ValueError):
        interpreter = Interpreter(path, num_threads=threads)
        runner = interpreter.get_signature_runner()
    (name,) = runner.get_input_details()
    outputs = sorted(runner.get_output_details(), key=lambda output: int(output.split("_")[-1]))

    def call(images):
        found = runner(**{name: images})
        return [found[output] for output in outputs]

    notes = f"{KEY}.json"
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if notes in archive.namelist():
                return call, archive.read(notes).decode()
    return call, None


def open_ncnn(path: str, threads: int | None) -> tuple[Call, str | None]:
    import ncnn

    stem = path.removesuffix(".param")
    net = ncnn.Net()
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    if threads:
        net.opt.num_threads = threads
    if net.load_param(path) or net.load_model(f"{stem}.bin"):
        raise InputError(f"'{path}': cannot be read as ncnn: it does not know one of its layers")
    count = len(net.output_names())

    def one(image):
        extractor = net.create_extractor()
        extractor.input("in0", ncnn.Mat(image))
        return [np.array(extractor.extract(f"out{index}")[1]) for index in range(count)]

    def call(images):
        return [np.stack(outputs) for outputs in zip(*map(one, images), strict=True)]

    return call, Path(f"{stem}.json").read_text(encoding="utf-8")
