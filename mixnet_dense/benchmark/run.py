"""A benchmark from its settings to rows, a table and a picture."""

import itertools
import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

import torch
from torch import Tensor

from mixnet_dense.benchmark import subjects
from mixnet_dense.export.formats import FORMATS
from mixnet_dense.progress import Progress
from mixnet_dense.timing import interleave, peak_memory


@dataclass(frozen=True)
class Settings:
    """What to time: every model in every mode, batch and size.

    Attributes:
        models: names or config files, see `subjects.build`. All variants of all models of one
            mode, batch and size run in turns.
        modes: ``'inference'``, ``'train'``; ``'loss'``, SSDLite's beside mmdet's, see
            `loss.runners`; ``'predict'``, see `exported.predictors`.
        batches: images a call.
        sizes: (H, W) in pixels.
        threads: of torch on a CPU.
        repeats: calls of each.
        device: ``'cpu'`` or ``'cuda'``.
        amp, compiled: see `subjects.runner` and `subjects.variants`; ``amp`` is for all but
            the reference.
        formats: of exported files to time too, in ``'inference'`` and ``'predict'``.
        checkpoint: of the one config that ``'predict'`` is for.
        files: exported ones, for ``'predict'``.
    """

    models: Sequence[str]
    modes: Sequence[str] = ("inference",)
    batches: Sequence[int] = (1,)
    sizes: Sequence[tuple[int, int]] = ((320, 320),)
    threads: int = 1
    repeats: int = 20
    device: str = "cpu"
    amp: bool = False
    compiled: bool = False
    formats: Sequence[str] = ()
    checkpoint: str | None = None
    files: Sequence[str] = ()


def measure(settings: Settings) -> Iterator[dict]:
    """Rows: model, variant, mode, batch, size, median and p90 in ms, ratio, images/s, memory.

    ``ratio`` is the reference's median over this one's: above 1 is faster.
    """
    torch.set_num_threads(settings.threads)
    for mode, batch, size in itertools.product(settings.modes, settings.batches, settings.sizes):
        yield from _measure(settings, mode, batch, size)


def _measure(settings: Settings, mode: str, batch: int, size: tuple[int, int]) -> Iterator[dict]:
    images = torch.randn(batch, 3, *size, generator=torch.Generator().manual_seed(0))
    images = images.to(settings.device)
    functions = {
        (name, variant): function
        for name in settings.models
        for variant, function in _runners(settings, name, mode, images)
    }
    progress = Progress(settings.repeats, f"rounds of {mode}, {batch} x {size[0]} x {size[1]}")
    times = interleave(functions, settings.repeats, settings.device, progress.step)
    for (name, variant), taken in times.items():
        yield dict(
            model=name,
            variant=variant,
            mode=mode,
            batch=batch,
            size=list(size),
            median_ms=taken.median,
            p90_ms=taken.p90,
            ratio=times[name, subjects.REFERENCE].median / taken.median,
            images_per_s=1000 * batch / taken.median,
            peak_mib=None
            if variant in FORMATS or variant in settings.files  # what they hold is not torch's
            else peak_memory(functions[name, variant], settings.device) / 2**20,
        )


def _runners(settings: Settings, name: str, mode: str, images: Tensor):
    if mode == "loss":
        from mixnet_dense.benchmark import loss  # needs mmdet

        yield from loss.runners(name, images)
        return
    if mode == "predict":
        from mixnet_dense.benchmark import exported

        size = tuple(images.shape[-2:])
        yield from exported.predictors(
            name, settings.checkpoint, settings.formats, settings.files, size, len(images),
            settings.threads,
        )  # fmt: skip
        return
    for variant, model in subjects.variants(name, mode, settings.device, settings.compiled):
        amp = settings.amp and variant != subjects.REFERENCE
        yield variant, subjects.runner(model, mode, images, amp)
    if mode == "inference" and settings.formats:
        from mixnet_dense.benchmark import exported

        yield from exported.networks(name, settings.formats, images, settings.threads)


def machine(settings: Settings) -> dict:
    """Where and with what the rows were measured."""
    cpu = _cpu_name()
    gpu = torch.cuda.get_device_name() if settings.device == "cuda" else None
    return dict(
        date=date.today().isoformat(),
        cpu=cpu,
        gpu=gpu,
        threads=settings.threads,
        torch=torch.__version__,
        python=platform.python_version(),
        system=platform.system(),
    )


def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.partition(":")[2].strip() for line in file if "model name" in line]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def table(rows: Sequence[dict]) -> str:
    """Rows as a Markdown table."""
    head = "| model | variant | mode | batch | size | median ms | p90 ms | ratio | images/s | MiB |"
    lines = [head, "|---|---|---|---:|---|---:|---:|---:|---:|---:|"]
    for row in rows:
        height, width = row["size"]
        peak = "" if row["peak_mib"] is None else f"{row['peak_mib']:.0f}"
        lines.append(
            f"| {row['model']} | {row['variant']} | {row['mode']} | {row['batch']} "
            f"| {height} x {width} | {row['median_ms']:.1f} | {row['p90_ms']:.1f} "
            f"| {row['ratio']:.2f} | {row['images_per_s']:.1f} | {peak} |"
        )
    return "\n".join(lines)


def plot(rows: Sequence[dict], path: str) -> None:
    """Medians as bars: a panel per mode, batch and size."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    panels = sorted({(row["mode"], row["batch"], *row["size"]) for row in rows})
    models = list(dict.fromkeys(row["model"] for row in rows))
    variants = list(dict.fromkeys(row["variant"] for row in rows))
    figure, axes = pyplot.subplots(
        len(panels), 1, figsize=(8, 1 + 0.35 * len(panels) * len(models) * len(variants)),
        squeeze=False, layout="constrained",
    )  # fmt: skip
    for axis, (mode, batch, height, width) in zip(axes[:, 0], panels, strict=True):
        here = {
            (row["model"], row["variant"]): row
            for row in rows
            if (row["mode"], row["batch"], *row["size"]) == (mode, batch, height, width)
        }
        bars = [(model, variant) for model in models for variant in variants]
        bars = [bar for bar in bars if bar in here]
        drawn = axis.barh(
            [f"{model}  {variant}" for model, variant in bars],
            [here[bar]["median_ms"] for bar in bars],
            color=[f"C{variants.index(variant)}" for _, variant in bars],
        )
        labels = [f"{here[b]['median_ms']:.1f} ({here[b]['ratio']:.2f} x)" for b in bars]
        axis.bar_label(drawn, labels, padding=3, fontsize=8)
        axis.set_title(f"{mode}, {batch} x {height} x {width}, median ms (less is better)")
        axis.invert_yaxis()
        axis.margins(x=0.22)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
