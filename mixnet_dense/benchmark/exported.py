"""Exported files as subjects of a benchmark."""

import copy
import tempfile
from argparse import Namespace
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from mixnet_dense.benchmark.subjects import REFERENCE, Runners, build, reference
from mixnet_dense.engine.config import load_config
from mixnet_dense.engine.samples import image_files
from mixnet_dense.errors import InputError
from mixnet_dense.export import fuse
from mixnet_dense.export.description import describe
from mixnet_dense.export.exporter import write
from mixnet_dense.export.formats import FORMATS, need
from mixnet_dense.export.graph import Graph
from mixnet_dense.export.predictor import load, of_model, of_session
from mixnet_dense.export.sessions import Session
from mixnet_dense.images import read_images
from mixnet_dense.shipped import find_config
from mixnet_dense.weights.load import load_model


def check(formats: Sequence[str], models: Sequence[str]) -> None:
    """Raise InputError for unknown formats, missing packages or models without a config."""
    for name in formats:
        if name not in FORMATS:
            raise InputError(f"--formats {name}: must be some of {', '.join(FORMATS)}")
        need(f"--formats {name}", *FORMATS[name].packages, FORMATS[name].runtime)
    networks = [name for name in models if not find_config(name)]
    if formats and networks:
        raise InputError(f"--formats: only configs can be exported, '{networks[0]}' is none")


def networks(name: str, formats: Sequence[str], images: Tensor, threads: int) -> Runners:
    """A config's raw graph in each format, on images (N, 3, H, W), with untrained weights."""
    if formats:
        model = build(name).eval()
        head = getattr(model, "bbox_head", None) or model.decode_head
        model.dataset_meta = dict(classes=[str(index) for index in range(head.num_classes)])
    for kind in formats:
        yield kind, partial(_session(model, kind, images, threads), images.numpy())


def predictors(options: Namespace, images: Tensor) -> Runners:
    """From a decoded image of the config's test set to boxes or class numbers.

    First in PyTorch: the reference, the model as it is, and fused. Then each format, with
    preprocessing and, if the format can, end to end. Then the given files.

    Only the number of ``images`` (N, 3, H, W) and their size count.

    Raises:
        InputError: missing files, or an exported file for another size.
    """
    config, size = load_config(options.models[0]), tuple(images.shape[-2:])
    pictures = read_images(image_files(config, "test", 1)) * len(images)
    model = load_model(config, options.checkpoint).cpu()
    eagers = {REFERENCE: reference(copy.deepcopy(model)), "model": model, "fused": fuse(model)}
    for variant, network in eagers.items():
        yield variant, partial(of_model(network, size), pictures)
    for kind in options.formats:
        session = _session(model, kind, images, options.threads, whole=True)
        yield kind, partial(of_session(session), pictures)
    for file in options.files:
        predictor = load(file, threads=options.threads)
        about = predictor.about
        if tuple(about.padded or about.input_size(pictures[0].shape[:2])) != size:
            raise InputError(f"--files {file}: is for another size than {size[0]} x {size[1]}")
        yield file, partial(predictor, pictures)


def _session(
    model: nn.Module, kind: str, images: Tensor, threads: int, whole: bool = False
) -> Session:
    """A model's file for images like these, ready to run; ``whole``: see `predictors`."""
    task = "detections" if hasattr(model, "bbox_head") else "labels"
    about = describe(
        model,
        size=tuple(images.shape[-2:]),
        batch=len(images),
        preprocess=whole,
        end_to_end=whole and task in FORMATS[kind].options,
    )
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        path = str(Path(folder, f"model{FORMATS[kind].suffix}"))
        write(Graph(model, about).eval(), kind, torch.zeros_like(images), path)
        return Session(path, threads)
