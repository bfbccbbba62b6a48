"""A benchmark from its options to rows."""

import itertools
from argparse import Namespace
from collections.abc import Iterator

import torch
from torch import Tensor

from mixnet_dense.benchmark import exported, layers, others, subjects
from mixnet_dense.benchmark.presentation import instructions
from mixnet_dense.progress import Progress
from mixnet_dense.timing import interleave, peak_memory

LAYERS = ("layers", "layers-train")


def time_models(options: Namespace) -> Iterator[dict]:
    """Time all variants of all models of one mode, batch and size in turns.

    Args:
        options: as tools/benchmark.py parses them; its ``--help`` says what each means.

    Yields:
        Rows of model (in the layers' modes a layer), variant, mode, instructions, batch, size,
        median_ms, p90_ms; ``ratio``, the reference's median over this one's (above 1 is faster);
        ``images_per_s`` by the median; ``peak_mib``, None for layers, and for exported files:
        what they hold is not torch's.
    """
    torch.set_num_threads(options.threads)
    for mode, batch, size in itertools.product(options.mode, options.batch, options.size):
        images = torch.randn(batch, 3, *size, generator=torch.Generator().manual_seed(0))
        images = images.to(options.device)
        functions = {
            (subject, variant): function
            for name in options.models
            for subject, variant, function in _runners(options, name, mode, images)
        }
        progress = Progress(options.repeats, f"rounds of {mode}, {batch} x {size[0]} x {size[1]}")
        times = interleave(functions, options.repeats, progress.step)
        for (name, variant), taken in times.items():
            peak = None
            if mode not in LAYERS and variant not in (*options.formats, *options.files):
                peak = peak_memory(functions[name, variant], options.device) / 2**20
            yield dict(
                model=name,
                variant=variant,
                mode=mode,
                instructions=instructions(),
                batch=batch,
                size=list(size),
                median_ms=taken.median,
                p90_ms=taken.p90,
                ratio=times[name, subjects.REFERENCE].median / taken.median,
                images_per_s=1000 * batch / taken.median,
                peak_mib=peak,
            )


def _runners(options: Namespace, name: str, mode: str, images: Tensor) -> Iterator[tuple]:
    """What is timed of a model: subject, variant, function."""
    if mode in LAYERS:
        yield from layers.runners(name, images, mode == "layers-train")
    else:
        yield from ((name, *runner) for runner in _whole(options, name, mode, images))


def _whole(options: Namespace, name: str, mode: str, images: Tensor) -> subjects.Runners:
    if mode == "predict":
        yield from exported.predictors(options, images)
    else:
        yield from subjects.runners(name, mode, images, options.amp, options.compile)
        if options.compare:
            for library, model in others.others(name):
                model.to(images.device).train(mode == "train")
                yield library, subjects.passes(model, images, options.amp)
        if mode == "inference":
            yield from exported.networks(name, options.formats, images, options.threads)
