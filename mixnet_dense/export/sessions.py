"""Running exported files."""

import functools
import zipfile
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from mixnet_dense.errors import InputError, first_line
from mixnet_dense.export.formats import FORMATS, format_of, need
from mixnet_dense.export.graph import KEY, Description, from_json

Call = Callable[[np.ndarray], Sequence[np.ndarray]]


class Session:
    """An exported file ready to run.

    Args:
        path: of a format in `formats.FORMATS`.
        threads: on the CPU; None leaves it to the backend.

    Raises:
        InputError: no such file, another suffix, a missing backend package, a file the
            backend cannot read or that `tools/export.py` did not write.
    """

    about: Description

    def __init__(self, path: str, threads: int | None = None):
        self.format = format_of(path)
        if self.format is None:
            allowed = ", ".join(kind.suffix for kind in FORMATS.values())
            raise InputError(f"'{path}': must end in one of {allowed}")
        for file in FORMATS[self.format].files(path):
            if not file.is_file():
                raise InputError(f"'{file}': no such file")
        need(f"'{path}'", FORMATS[self.format].runs)
        try:
            self._call, text = _OPEN[self.format](path, threads)
        except Exception as error:  # every backend has its own kinds
            line = first_line(error)
            raise InputError(f"'{path}': cannot be read as {self.format}: {line}") from error
        self.about = from_json(text, path)
        self.path = path

    def __call__(self, images: np.ndarray) -> Mapping[str, np.ndarray]:
        """Outputs by name for images (N, 3, H, W) float32; see `graph.Graph`.

        A file for a fixed batch gets the images in batches of that, the last one filled up.

        Raises:
            InputError: images of another size than the file is for.
        """
        wanted = (self.about.height, self.about.width)
        if any(w not in (None, h) for w, h in zip(wanted, images.shape[-2:], strict=True)):
            found = " x ".join(map(str, images.shape[-2:]))
            raise InputError(
                f"'{self.path}': is for images of {wanted[0]} x {wanted[1]}, these are {found}"
            )
        images = np.ascontiguousarray(images, np.float32)
        count, size = len(images), self.about.batch or len(images)
        if count == size:
            return self._named(images)
        parts = []
        for start in range(0, count, size):
            part = images[start : start + size]
            filled = np.concatenate([part, np.zeros_like(images[: size - len(part)])])
            parts.append(_cut(self._named(filled), len(part), start))
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _named(self, images: np.ndarray) -> dict[str, np.ndarray]:
        return dict(zip(self.about.outputs, self._call(images), strict=True))


def _cut(found: dict, count: int, start: int) -> dict:
    """What is of the first ``count`` images, numbered from ``start`` on."""
    if "image" not in found:
        return {name: value[:count] for name, value in found.items()}
    own = found["image"] < count
    found = {name: value[own] for name, value in found.items()}
    return {**found, "image": found["image"] + start}


def _open_onnx(path: str, threads: int | None) -> tuple[Call, str | None]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # Weights in int8 become float once, not at each call; its int8 kernels cannot take a
    # convolution with a hard swish behind it, and without this run it slower than float.
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    if threads:
        options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        path, options, providers=onnxruntime.get_available_providers()
    )
    text = session.get_modelmeta().custom_metadata_map.get(KEY)
    return lambda images: session.run(None, {"images": images}), text


@functools.cache
def openvino_core():
    """OpenVINO, one for the whole process, which also has to be the first.

    Its CPU plugin gives the main thread a stack for signals and, when it goes, the one that
    was there before, though that may be gone: of two that end in the order of their making
    the process dies of the next signal, such as a data worker's end.
    """
    import openvino

    return openvino.Core()


def _open_openvino(path: str, threads: int | None) -> tuple[Call, str | None]:
    settings = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    if threads:
        settings["INFERENCE_NUM_THREADS"] = threads
    model = openvino_core().read_model(path)
    compiled = openvino_core().compile_model(model, "CPU", settings)
    request = compiled.create_infer_request()

    def call(images):
        found = request.infer([images])
        return [found[output] for output in compiled.outputs]  # copies already

    return call, model.get_rt_info(KEY).value if model.has_rt_info(KEY) else None


def _open_torchscript(path: str, threads: int | None) -> tuple[Call, str | None]:
    import torch

    extra = {KEY: ""}
    module = torch.jit.load(path, map_location="cpu", _extra_files=extra)

    @torch.inference_mode()
    def call(images):
        if threads:
            torch.set_num_threads(threads)
        return [found.numpy() for found in module(torch.from_numpy(images))]

    text = extra[KEY]
    return call, text.decode() if isinstance(text, bytes) else text


def _open_tflite(path: str, threads: int | None) -> tuple[Call, str | None]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(path, num_threads=threads)
    runner = interpreter.get_signature_runner()
    (name,) = runner.get_input_details()
    outputs = sorted(runner.get_output_details(), key=lambda output: int(output.split("_")[-1]))

    def call(images):
        found = runner(**{name: images})
        return [found[output] for output in outputs]

    with zipfile.ZipFile(path) as archive:
        return call, archive.read(f"{KEY}.json").decode()


def _open_ncnn(path: str, threads: int | None) -> tuple[Call, str | None]:
    import ncnn

    _, weights, notes = FORMATS["ncnn"].files(path)
    net = ncnn.Net()
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    if threads:
        net.opt.num_threads = threads
    if net.load_param(path) or net.load_model(str(weights)):
        raise ValueError("ncnn does not know one of its layers")
    count = len(net.output_names())

    def one(image):
        extractor = net.create_extractor()
        extractor.input("in0", ncnn.Mat(image))
        return [np.array(extractor.extract(f"out{index}")[1]) for index in range(count)]

    def call(images):
        return [np.stack(outputs) for outputs in zip(*map(one, images), strict=True)]

    return call, notes.read_text(encoding="utf-8")


_OPEN = {
    "onnx": _open_onnx,
    "openvino": _open_openvino,
    "torchscript": _open_torchscript,
    "tflite": _open_tflite,
    "ncnn": _open_ncnn,
}
