"""A benchmark from its settings to rows."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mixnet_dense.benchmark import exported, subjects
from mixnet_dense.benchmark.presentation import instructions
from mixnet_dense.progress import Progress
from mixnet_dense.timing import interleave, peak_memory


@dataclass(frozen=True)
class Settings:
    """What to time: every model in every mode, batch and size; see tools/benchmark.py --help."""

    models: Sequence[str]  # see `subjects.build`
    modes: Sequence[str]  # 'inference', 'train', 'predict'
    batches: Sequence[int]  # images a call
    sizes: Sequence[tuple[int, int]]  # (H, W) in pixels
    threads: int
    repeats: int
    device: str = "cpu"
    amp: bool = False
    compiled: bool = False
    formats: Sequence[str] = ()  # in 'inference' and 'predict'
    checkpoint: str | None = None  # this and the next for 'predict'
    files: Sequence[str] = ()


def time_models(settings: Settings) -> Iterator[dict]:
    """Time all variants of all models of one mode, batch and size in turns.

    Yields:
        Rows of model, variant, mode, instructions, batch, size, median_ms, p90_ms; ``ratio``,
        the reference's median over this one's (above 1 is faster); ``images_per_s`` by the
        median; ``peak_mib``, None for exported files: what they hold is not torch's.
    """
    torch.set_num_threads(settings.threads)
    for mode, batch, size in itertools.product(settings.modes, settings.batches, settings.sizes):
        yield from _time(settings, mode, batch, size)


def _time(settings: Settings, mode: str, batch: int, size: tuple[int, int]) -> Iterator[dict]:
    images = torch.randn(batch, 3, *size, generator=torch.Generator().manual_seed(0))
    images = images.to(settings.device)
    functions = {
        (name, variant): function
        for name in settings.models
        for variant, function in _runners(settings, name, mode, images)
    }
    progress = Progress(settings.repeats, f"rounds of {mode}, {batch} x {size[0]} x {size[1]}")
    times = interleave(functions, settings.repeats, progress.step)
    for (name, variant), taken in times.items():
        outside = variant in (*settings.formats, *settings.files)
        peak = None if outside else peak_memory(functions[name, variant], settings.device) / 2**20
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


def _runners(settings: Settings, name: str, mode: str, images: Tensor) -> subjects.Runners:
    if mode == "predict":
        yield from exported.predictors(
            name, settings.checkpoint, settings.formats, settings.files, images, settings.threads
        )
    else:
        yield from subjects.runners(name, mode, images, settings.amp, settings.compiled)
        if mode == "inference":
            yield from exported.networks(name, settings.formats, images, settings.threads)
