"""What a training logged: its curves as a picture, the time of a step, the wait for data."""

import json
import re
from pathlib import Path
from statistics import median
from typing import NamedTuple

from mixnet_dense.errors import InputError

_SCALARS = "vis_data/scalars.json"  # mmengine writes it into a folder for each start
_STYLES = ("-", "--", ":", "-.")  # also told apart when printed in grey


class Log(NamedTuple):
    """Rows in the order of the training, each with ``iter``, the steps done by then.

    ``train``: ``lr``, ``loss`` and its parts, ``time`` and ``data_time`` in seconds a step, each a
    mean over mmengine's window. ``val``: the metrics by mm's names.
    """

    train: list[dict]
    val: list[dict]


def read_log(work_dir: str | Path) -> Log:
    """The log of a work dir. What a resumed training did again counts once, as done last.

    Raises:
        InputError: no log with a training step is there.
    """
    log = Log([], [])
    for file in sorted(Path(work_dir).glob(f"*/{_SCALARS}")):
        _add(log, [json.loads(line) for line in _whole_lines(file)])
    if not log.train:
        raise InputError(f"{work_dir}: no training log there, DATE_TIME/{_SCALARS}")
    return log


def _whole_lines(file: Path) -> list[str]:
    """An interrupted training may leave half a line at the end."""
    return [line for line in file.read_text("utf-8").split("\n") if line.endswith("}")]


def _add(log: Log, rows: list[dict]) -> None:
    """Append the rows of one start, in place of those that are at or after its first step."""
    first = next((row["iter"] for row in rows if "lr" in row), None)
    if first is None:
        return
    for part in log:
        part[:] = [row for row in part if row["iter"] < first]
    for row in rows:
        if "lr" in row:
            log.train.append(row)
        else:  # its own step counts epochs
            log.val.append(dict(row, iter=log.train[-1]["iter"] if log.train else 0))


def summary(log: Log) -> dict:
    """The training in numbers.

    Returns:
        ``steps`` so far; ``loss``, the last one; ``step_s``, the median time of a step in seconds
        (the first steps are slower, so a mean would not do); ``waiting``, the share of it that
        waits for data; ``best``, of mAP or mIoU, with its ``step``, None without a validation.
    """
    last, step = log.train[-1], median(row["time"] for row in log.train)
    points = [point for curve in _curves(log.val, "bbox_mAP$|^mIoU$").values() for point in curve]
    best = max(points, key=lambda point: point[1], default=None)
    return dict(
        steps=last["iter"],
        loss=last["loss"],
        step_s=step,
        waiting=median(row["data_time"] for row in log.train) / step,
        best=best and dict(step=best[0], value=best[1]),
    )


def in_words(numbers: dict) -> str:
    """`summary` as lines, with advice where data is waited for."""
    line = "{steps} steps, the loss is {loss:.4g}\n{step_s:.3g} s a step (median)".format(**numbers)
    line += f", {numbers['waiting']:.0%} of it waiting for data"
    if numbers["waiting"] > 0.2:
        line += ": a greater train_dataloader.num_workers may help"
    best = numbers["best"]
    return line + (f"\nbest validation {best['value']:.4g} at step {best['step']}" if best else "")


def draw_curves(log: Log):
    """A matplotlib Figure: losses, metrics of the validation, learning rate, time of a step."""
    from matplotlib.figure import Figure

    panels = {
        "loss": _curves(log.train, r"loss"),
        "validation": _curves(log.val, r"(^|[_/])[ma][A-Z]"),  # mAP, mIoU, aAcc: no single class
        "learning rate": _curves(log.train, r"^lr$"),
        "seconds a step": _curves(log.train, r"^(data_)?time$"),
    }
    panels = {title: curves for title, curves in panels.items() if curves}
    figure = Figure(figsize=(6, 2.3 * len(panels)), layout="constrained")
    axes = figure.subplots(len(panels), sharex=True, squeeze=False)[:, 0]
    for axis, (title, curves) in zip(axes, panels.items(), strict=True):
        for index, (name, points) in enumerate(curves.items()):
            style = _STYLES[index % len(_STYLES)]
            marker = "o" if title == "validation" else None
            axis.plot(*zip(*points, strict=True), style, marker=marker, ms=3, lw=1.2, label=name)
        axis.set_title(title, fontsize=9, loc="left")
        axis.set_ylim(bottom=0)
        axis.tick_params(labelsize=8)
        axis.grid(alpha=0.3)
        if len(curves) > 1:
            axis.legend(fontsize=7, ncols=2)
    axes[-1].set_xlabel("step", fontsize=9)
    return figure


def _curves(rows: list[dict], pattern: str) -> dict[str, list[tuple[int, float]]]:
    """Points (step, value) by name; COCO's -1 is an undefined metric."""
    names = dict.fromkeys(name for row in rows for name in row if re.search(pattern, name))
    found = {
        name: [(row["iter"], row[name]) for row in rows if row.get(name, -1) >= 0] for name in names
    }
    return {name: points for name, points in found.items() if points}
