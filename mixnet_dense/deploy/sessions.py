"""Running exported files."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from mixnet_dense.cli import InputError
from mixnet_dense.deploy.graph import KEY, Description, from_json

PACKAGES = {"onnx": "onnxruntime", "openvino": "openvino", "torchscript": "torch"}
"""What running a format needs; names are also those that pip installs."""
SUFFIXES = {"onnx": ".onnx", "openvino": ".xml", "torchscript": ".pt"}


def need(package: str, what: str) -> None:
    """Raise InputError if a package is not installed."""
    if find_spec(package) is None:
        raise InputError(f"{what}: needs {package}, which is not installed: pip install {package}")


class Session:
    """An exported file ready to run.

    Args:
        path: ``.onnx``, ``.xml`` (its ``.bin`` beside it) or ``.pt``.
        threads: on the CPU; None leaves it to the backend.

    Raises:
        InputError: no such file, another suffix, a missing backend package, a file the
            backend cannot read or that `tools/export.py` did not write.
    """

    about: Description

    def __init__(self, path: str, threads: int | None = None):
        formats = {suffix: name for name, suffix in SUFFIXES.items()}
        self.format = formats.get(Path(path).suffix)
        if self.format is None:
            raise InputError(f"'{path}': must end in one of {', '.join(formats)}")
        if not Path(path).is_file():
            raise InputError(f"'{path}': no such file")
        need(PACKAGES[self.format], f"'{path}'")
        try:
            text = getattr(self, f"_open_{self.format}")(path, threads)
        except InputError:
            raise
        except Exception as error:  # every backend has its own kinds
            line = str(error).strip().splitlines()[0]
            raise InputError(f"'{path}': cannot be read as {self.format}: {line}") from error
        self.about = from_json(text, path)
        self.path = path

    def _open_onnx(self, path: str, threads: int | None) -> str | None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        if threads:
            options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(
            path, options, providers=onnxruntime.get_available_providers()
        )
        self._names = [output.name for output in session.get_outputs()]
        self._call = lambda images: session.run(None, {"images": images})
        return session.get_modelmeta().custom_metadata_map.get(KEY)

    def _open_openvino(self, path: str, threads: int | None) -> str | None:
        import openvino

        settings = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        if threads:
            settings["INFERENCE_NUM_THREADS"] = threads
        model = openvino.Core().read_model(path)
        compiled = openvino.compile_model(model, "CPU", settings)
        request = compiled.create_infer_request()
        self._names = [output.any_name for output in model.outputs]

        def call(images):
            found = request.infer([images])
            return [np.array(found[output]) for output in compiled.outputs]

        self._call = call
        return model.get_rt_info(KEY).value if model.has_rt_info(KEY) else None

    def _open_torchscript(self, path: str, threads: int | None) -> str | None:
        import torch

        extra = {KEY: ""}
        module = torch.jit.load(path, map_location="cpu", _extra_files=extra)
        text = extra[KEY]
        text = text.decode() if isinstance(text, bytes) else text
        self._names = list(from_json(text, path).outputs)

        @torch.inference_mode()
        def call(images):
            if threads:
                torch.set_num_threads(threads)
            return [found.numpy() for found in module(torch.from_numpy(images))]

        self._call = call
        return text

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
        parts = []
        for start in range(0, count, size):
            part = images[start : start + size]
            filled = np.concatenate([part, np.zeros_like(images[: size - len(part)])])
            found = dict(zip(self._names, self._call(filled), strict=True))
            parts.append(_cut(found, len(part), start))
        return {name: np.concatenate([part[name] for part in parts]) for name in self._names}


def _cut(found: dict, count: int, start: int) -> dict:
    """What is of the first ``count`` images, numbered from ``start`` on."""
    if "image" not in found:
        return {name: value[:count] for name, value in found.items()}
    own = found["image"] < count
    found = {name: value[own] for name, value in found.items()}
    return {**found, "image": found["image"] + start}
