"""A benchmark's rows as text and as a picture, and the machine they were measured on."""

import itertools
import os
import platform
import re
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path

import torch

from mixnet_dense.files import written_whole

_LIMITS = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA")


def instructions() -> str:
    """What torch uses on this CPU, and the limit set for oneDNN, such as ``AVX2 (oneDNN AVX2)``."""
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA")
    return torch.backends.cpu.get_cpu_capability() + (f" (oneDNN {limit})" if limit else "")


def machine(device: str, threads: int) -> dict:
    """The machine and the software of a measurement; None for what does not apply."""
    return dict(
        date=date.today().isoformat(),
        cpu=_cpu_name(),
        instructions=instructions(),
        **{name: os.environ.get(name) for name in _LIMITS},
        gpu=torch.cuda.get_device_name() if device == "cuda" else None,
        threads=threads,
        torch=torch.__version__,
        python=platform.python_version(),
        system=platform.system(),
    )


def _cpu_name() -> str:
    """As Linux or else Python names it."""
    path = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.+)", path.read_text()) if path.is_file() else None
    return found[1].strip() if found else platform.processor() or platform.machine()


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]], texts: int = 1) -> str:
    """A Markdown table; the columns after the first ``texts`` stand to the right."""
    rule = ["---"] * texts + ["---:"] * (len(head) - texts)
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows))


_HEAD = "model|variant|mode|instructions|batch|size|median ms|p90 ms|ratio|images/s|MiB".split("|")


def table(rows: Iterable[dict]) -> str:
    """`rows.time_models` as a Markdown table."""
    cells = (
        (
            row["model"], row["variant"], row["mode"], row["instructions"], str(row["batch"]),
            " x ".join(map(str, row["size"])), f"{row['median_ms']:.1f}", f"{row['p90_ms']:.1f}",
            f"{row['ratio']:.2f}", f"{row['images_per_s']:.1f}",
            "" if row["peak_mib"] is None else f"{row['peak_mib']:.0f}",
        )
        for row in rows
    )  # fmt: skip
    return markdown(_HEAD, cells, texts=4)


def plot(rows: Sequence[dict], path: str) -> None:
    """Medians as bars: a panel per mode, batch and size."""
    from matplotlib.figure import Figure

    groups = itertools.groupby(rows, lambda row: (row["mode"], row["batch"], *row["size"]))
    panels = {key: list(group) for key, group in groups}
    variants = list(dict.fromkeys(row["variant"] for row in rows))
    figure = Figure(figsize=(8, 1 + 0.35 * len(rows)), layout="constrained")
    axes = figure.subplots(len(panels), squeeze=False)[:, 0]
    for axis, ((mode, batch, height, width), panel) in zip(axes, panels.items(), strict=True):
        bars = axis.barh(
            [f"{row['model']}  {row['variant']}" for row in panel],
            [row["median_ms"] for row in panel],
            color=[f"C{variants.index(row['variant'])}" for row in panel],
        )
        labels = [f"{row['median_ms']:.1f} ({row['ratio']:.2f} x)" for row in panel]
        axis.bar_label(bars, labels, padding=3, fontsize=8)
        axis.set_title(f"{mode}, {batch} x {height} x {width}, median ms (less is better)")
        axis.invert_yaxis()
        axis.margins(x=0.22)
    with written_whole(path) as partial:
        figure.savefig(partial, dpi=120)
