"""Exported files among what is timed."""

import copy
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from mixnet_dense.benchmark.subjects import REFERENCE, build, reference
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
from mixnet_dense.weights.load import load_model

Runners = Iterator[tuple[str, Callable[[], object]]]


def check(formats: Sequence[str], models: Sequence[str]) -> None:
    """Raise InputError for unknown formats, missing packages or models without a config."""
    for form in formats:
        if form not in FORMATS:
            raise InputError(f"--formats {form}: must be some of {', '.join(FORMATS)}")
        need(f"--formats {form}", *FORMATS[form].packages, FORMATS[form].runtime)
    names = [name for name in models if not name.endswith(".py")]
    if formats and names:
        raise InputError(f"--formats: only configs can be exported, '{names[0]}' is none")


def networks(name: str, formats: Sequence[str], images: Tensor, threads: int) -> Runners:
    """A config's raw graph in each format, on images (N, 3, H, W), with untrained weights."""
    config, model = load_config(name), build(name).eval()
    head = model.bbox_head if hasattr(model, "bbox_head") else model.decode_head
    model.dataset_meta = dict(classes=[str(index) for index in range(head.num_classes)])
    model.cfg = config
    found, size = images.numpy(), tuple(images.shape[-2:])
    for form in formats:
        session = _session(model, form, size, len(images), False, threads)
        yield form, lambda session=session: session(found)


def predictors(
    name: str,
    checkpoint: str,
    formats: Sequence[str],
    files: Sequence[str],
    size: tuple[int, int],
    batch: int,
    threads: int,
) -> Runners:
    """From a decoded image of the config's test set to boxes or class numbers.

    Eager: the reference, the model as it is, and fused. Then each format, with preprocessing
    inside and end to end as far as the format can; then files exported before.
    """
    config = load_config(name)
    pictures = read_images(image_files(config, "test", 1)) * batch

    model = load_model(config, checkpoint).cpu()
    eagers = {REFERENCE: reference(copy.deepcopy(model)), "model": model, "fused": fuse(model)}
    for variant, network in eagers.items():
        predictor = of_model(network, size)
        yield variant, lambda predictor=predictor: predictor(pictures)
    for form in formats:
        session = _session(model, form, size, batch, True, threads)
        predictor = of_session(session)
        yield form, lambda predictor=predictor: predictor(pictures)
    for file in files:
        predictor = load(file, threads=threads)
        about = predictor.about
        own = (about.height, about.width) if about.height else tuple(about.resized or ())
        if own != size:
            raise InputError(f"--files {file}: is for another size than {size[0]} x {size[1]}")
        yield file, lambda predictor=predictor: predictor(pictures)


def _session(model: nn.Module, form: str, size, batch: int, whole: bool, threads: int) -> Session:
    task = "detections" if hasattr(model, "bbox_head") else "labels"
    about = describe(
        model,
        size=size,
        batch=batch,
        preprocess=whole,
        end_to_end=whole and task in FORMATS[form].options,
    )
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        path = str(Path(folder, f"model{FORMATS[form].suffix}"))
        write(Graph(model, about).eval(), form, torch.zeros(batch, 3, *size), path)
        return Session(path, threads)
