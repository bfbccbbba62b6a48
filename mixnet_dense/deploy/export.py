"""From a config and its checkpoint to a file that other runtimes run, verified."""

import logging
import os
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.config import Config
from torch import Tensor, nn

from mixnet_dense.cli import InputError
from mixnet_dense.deploy import suppression
from mixnet_dense.deploy.graph import CANDIDATES, KEY, Description, Graph, Preprocess, describe
from mixnet_dense.deploy.sessions import SUFFIXES, Session, need
from mixnet_dense.engine.setup import datasets
from mixnet_dense.evaluation.images import find_images, read_image
from mixnet_dense.evaluation.predict import load_model
from mixnet_dense.files import check_writable

TOLERANCE = 1e-3
_MAKERS = {
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
    "openvino": ("onnx", "onnxscript", "openvino"),
}
_OTHER_SIZE = 32  # pixels more and less than the size that is asked for
_IMAGES = 3


@dataclass(frozen=True)
class Request:
    """What to export.

    Attributes:
        format: ``'onnx'``, ``'openvino'`` or ``'torchscript'``.
        out: the file, with the suffix of its format; OpenVINO puts a ``.bin`` beside it.
        size: (height, width) of the input; None for what the test pipeline resizes to.
        batch: images of the input.
        dynamic: any batch and size; ``size`` and ``batch`` are then those it is traced with.
        preprocess, end_to_end: see `graph.Description`.
        images: files, folders or globs of images to verify with; by default the first of
            the config's test set.
        tolerance: largest difference allowed, in shares of the largest value of an output.
    """

    format: str
    out: str
    size: tuple[int, int] | None = None
    batch: int = 1
    dynamic: bool = False
    preprocess: bool = False
    end_to_end: bool = False
    images: Sequence[str] = ()
    tolerance: float = TOLERANCE


def export(
    config: Config, checkpoint: str, request: Request, say: Callable[[str], None] = print
) -> dict[str, float]:
    """Write a file, run it beside PyTorch, and keep it only if both agree.

    Args:
        config: of a detector or segmenter.
        checkpoint: weights of that config's model.
        request: what is wanted.
        say: gets a line for each comparison.

    Returns:
        The largest relative difference of each output.

    Raises:
        InputError: anything the request, the checkpoint or the machine lacks, or a
            difference above the tolerance; no file is left behind then.
    """
    _check(request)
    check_writable(request.out)
    model = load_model(config, checkpoint).cpu()
    _check_model(model, request)
    about = describe(
        config,
        model,
        size=request.size,
        batch=request.batch,
        preprocess=request.preprocess,
        end_to_end=request.end_to_end,
    )
    size = request.size or about.resized
    if size is None:
        raise InputError("--size: is needed, the config's test pipeline does not resize images")
    open_sizes = dict(batch=None, height=None, width=None)
    fixed = dict(height=size[0], width=size[1])
    about = replace(about, **(open_sizes if request.dynamic else fixed))
    images = _images(config, request.images)
    graph = Graph(model, about).eval()
    with tempfile.TemporaryDirectory(dir=Path(request.out).parent, prefix=".export-") as work:
        made = str(Path(work, f"model{SUFFIXES[request.format]}"))
        write = {"onnx": _onnx, "openvino": _openvino, "torchscript": _torchscript}
        sample = prepared(images, size, about)[:1].expand(
            2 if request.dynamic else about.batch, -1, -1, -1
        )
        found = {}
        if about.end_to_end and about.task == "detection":
            candidates = str(Path(work, f"candidates{SUFFIXES[request.format]}"))
            write[request.format](graph, about, sample, candidates, made)
            found = _verify(Session(candidates), graph, images, size, say)
            found |= _verify_suppression(Session(candidates), Session(made), images, size, say)
        else:
            write[request.format](graph, about, sample, made)
            found = _verify(Session(made), graph, images, size, say)
        worst = max(found, key=found.get)
        if not found[worst] <= request.tolerance:
            raise InputError(
                f"{request.out}: not written: '{worst}' differs from PyTorch's by "
                f"{found[worst]:.2g} of its largest value, allowed are {request.tolerance:g}"
            )
        if request.format == "openvino":
            os.replace(Path(made).with_suffix(".bin"), Path(request.out).with_suffix(".bin"))
        os.replace(made, request.out)
    return found


def _check(request: Request) -> None:
    if request.format not in SUFFIXES:
        allowed = ", ".join(SUFFIXES)
        raise InputError(f"--format {request.format}: must be one of {allowed}")
    suffix = SUFFIXES[request.format]
    if Path(request.out).suffix != suffix:
        raise InputError(f"--out {request.out}: must end in {suffix} for {request.format}")
    if request.batch < 1:
        raise InputError(f"--batch {request.batch}: must be 1 or more")
    for package in _MAKERS.get(request.format, ()):
        need(package, f"--format {request.format}")


def _check_model(model: nn.Module, request: Request) -> None:
    """What a model and a format cannot have together."""
    if getattr(getattr(model, "decode_head", None), "pool", None) and request.dynamic:
        raise InputError(
            "--dynamic: this head pools over windows that follow the map's size; leave it out, "
            "or train with model.decode_head.pool=None"
        )
    if not hasattr(model, "bbox_head") or not request.end_to_end:
        return
    if request.format == "torchscript":
        raise InputError(
            "--end-to-end: TorchScript has no suppression; use onnx or openvino, or raw heads"
        )
    if model.bbox_head.test_cfg["nms"].get("type") != "nms":
        raise InputError("--end-to-end: only nms of type 'nms' can be in the file")


def _images(config: Config, patterns: Sequence[str]) -> list[np.ndarray]:
    """Some real images (H, W, 3), blue first."""
    if not patterns:
        dataset = next(datasets(config, ("test",)), None) or {}
        prefix = dataset.get("data_prefix") or {}
        folder = Path(dataset.get("data_root") or "") / (
            prefix.get("img") or prefix.get("img_path") or ""
        )
        suffixes = (".jpg", ".jpeg", ".png", ".bmp")
        paths = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in suffixes]
        if not paths:
            raise InputError(
                f"{folder}: no images of the config's test set there to verify with; name some "
                "with --images"
            )
    else:
        paths = find_images(patterns)
    found = [read_image(path) for path in paths[:_IMAGES]]
    if any(image is None for image in found):
        raise InputError(f"{paths[0].parent}: has images that cannot be read")
    return found


def prepared(images: Sequence[np.ndarray], size: tuple[int, int], about: Description) -> Tensor:
    """Images (H, W, 3), blue first, as a file's input (N, 3, height, width) float32."""
    height, width = size
    rows = [cv2.resize(image, (width, height)) for image in images]
    batch = torch.from_numpy(np.stack(rows)).permute(0, 3, 1, 2).float().contiguous()
    return batch if about.preprocess else Preprocess(about)(batch)


def _program(graph: Graph, about: Description, sample: Tensor):
    """The graph as an ONNX model."""
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


def _protos(graph: Graph, about: Description, sample: Tensor, *paths: str):
    """ONNX models for each path: of the graph itself, then with suppression."""
    from onnx import helper

    proto = _program(graph, about, sample)
    for path in paths:
        description = about
        if path is not paths[0]:
            proto = suppression.append(proto, about)
            description = replace(about, outputs=suppression.OUTPUTS)
        helper.set_model_props(proto, _readable(description))
        yield path, proto, description


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


def _onnx(graph: Graph, about: Description, sample: Tensor, *paths: str) -> None:
    import onnx

    for path, proto, _ in _protos(graph, about, sample, *paths):
        onnx.save(proto, path)


def _openvino(graph: Graph, about: Description, sample: Tensor, *paths: str) -> None:
    import io

    import openvino

    for path, proto, description in _protos(graph, about, sample, *paths):
        model = openvino.convert_model(io.BytesIO(proto.SerializeToString()))
        for key, value in _readable(description).items():
            model.set_rt_info(value, key)
        openvino.save_model(model, path, compress_to_fp16=False)


def _torchscript(graph: Graph, about: Description, sample: Tensor, path: str) -> None:
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        script = torch.jit.trace(graph, (sample,), check_trace=False)
        torch.jit.save(script, path, _extra_files={KEY: about.to_json()})


def _batches(images: Sequence[np.ndarray], size: tuple[int, int], about: Description):
    """Inputs of two batches and, where they are open, two sizes."""
    more = [(size[0] + _OTHER_SIZE, size[1] - _OTHER_SIZE)] if about.height is None else []
    for each in (size, *more):
        batch = prepared(images, each, about)
        yield batch[:1]
        yield batch


def _verify(session: Session, graph: Graph, images, size, say) -> dict[str, float]:
    """The largest difference of each output, in shares of its largest value."""
    worst: dict[str, float] = {}
    for batch in _batches(images, size, session.about):
        found = session(batch.numpy())
        with torch.inference_mode():
            expected = dict(zip(session.about.outputs, graph(batch), strict=True))
        for name, value in expected.items():
            value = value.numpy()
            if value.dtype == np.uint8:  # classes: the share of pixels that differ
                difference = float((found[name] != value).mean())
            else:
                scale = max(float(np.abs(value).max()), 1e-12)
                difference = float(np.abs(found[name] - value).max()) / scale
            worst[name] = max(worst.get(name, 0.0), difference)
        say(f"{' x '.join(map(str, batch.shape))}: largest difference {max(worst.values()):.2g}")
    return worst


def _verify_suppression(candidates: Session, session: Session, images, size, say):
    """The share of detections that do not follow from the file's own candidates."""
    about, missed, total = session.about, 0, 0
    for batch in _batches(images, size, about):
        found, every = session(batch.numpy()), candidates(batch.numpy())
        wanted = suppression.expected(*(torch.from_numpy(every[n]) for n in CANDIDATES), about)
        for index, (boxes, scores, labels) in enumerate(wanted):
            own = found["image"] == index
            rows = np.flatnonzero(own)[: about.suppression["max_per_img"]]
            total += max(len(boxes), len(rows))
            missed += max(len(boxes), len(rows)) - _agreeing(
                boxes.numpy(), scores.numpy(), labels.numpy(), found, rows
            )
    say(f"suppression: {total - missed} of {total} detections as expected")
    return {"detections": missed / max(total, 1)}


def _agreeing(boxes, scores, labels, found, rows) -> int:
    """Expected detections that a found one equals; each counts once."""
    left = list(rows)
    for box, score, label in zip(boxes, scores, labels, strict=True):
        for row in left:
            if (
                found["labels"][row] == label
                and abs(found["scores"][row] - score) < 1e-4
                and np.abs(found["boxes"][row] - box).max() < 1e-3 * max(box.max(), 1)
            ):
                left.remove(row)
                break
    return len(rows) - len(left)
