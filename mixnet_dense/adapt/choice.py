"""What a search has tried and what it chooses, as pure functions over rows.

A row is a table that was or will be tried: ``step``, ``proposal`` (its number in the step),
``place``, ``what`` (see `proposals.Proposal`), ``latency_ms`` as it is expected, ``accuracy``
(None before the trial), ``chosen``, and ``measured_ms`` of what is chosen. Step 0 is the network of
the beginning.
"""

import csv
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from mixnet_dense.adapt.proposals import Proposal, choices, first_saving
from mixnet_dense.backbones.arch import Network
from mixnet_dense.errors import InputError
from mixnet_dense.files import written_whole

Row = dict
COLUMNS = (
    "step", "proposal", "what", "latency_ms", "measured_ms", "accuracy", "slope", "mnasnet",
    "chosen",
)  # fmt: skip
_WEIGHT = -0.15  # MobileNetV3 section 4.1, for small models


def slope(before: Row, row: Row) -> float:
    """The change of accuracy by the milliseconds saved (MobileNetV3 section 4.2)."""
    return (row["accuracy"] - before["accuracy"]) / (before["measured_ms"] - row["latency_ms"])


def mnasnet_score(row: Row, target: float) -> float:
    """Accuracy x (latency / target)^w (MobileNetV3 section 4.1); ``target`` in ms."""
    return row["accuracy"] * (row["latency_ms"] / target) ** _WEIGHT


def path(rows: Sequence[Row]) -> list[Row]:
    """The chosen rows, one of each step that is complete."""
    return [row for row in rows if row["chosen"]]


def choose(rows: Sequence[Row]) -> Row:
    """The row of the running step with the greatest `slope`; of equal ones the first."""
    before = path(rows)[-1]
    tried = [row for row in rows if row["step"] > before["step"]]
    return max(tried, key=lambda row: slope(before, row))


def last_slopes(rows: Sequence[Row]) -> dict[str, float]:
    """The slope of each place when it was tried last."""
    chosen = path(rows)
    return {r["place"]: slope(chosen[r["step"] - 1], r) for r in rows if r["step"]}


def promising(
    rows: Sequence[Row], network: Network, ms: Callable[[Network], float], wanted: float, count: int
) -> Iterator[tuple[str, Proposal]]:
    """Proposals of the next step by place: those never tried, then the best of the others.

    Args:
        rows: of the steps before.
        network: the table of the last.
        ms, wanted: see `proposals.propose`.
        count: where others are left out, if so many are found; 0: none.
    """
    known, now, found = last_slopes(rows), path(rows)[-1]["measured_ms"], 0
    smaller = choices(network)
    for place in sorted(smaller, key=lambda place: -known.get(place, float("inf"))):
        if place in known and 0 < count <= found:
            return
        if proposal := first_saving(smaller[place], ms, now, wanted):
            found += 1
            yield place, proposal


def parse_budget(text: str) -> tuple[float, str]:
    """The number and the unit of a budget such as ``8ms`` or ``70%``.

    Raises:
        InputError: another form.
    """
    for unit in ("ms", "%"):
        number = text.removesuffix(unit)
        if number != text and number.replace(".", "", 1).isdecimal() and float(number) > 0:
            return float(number), unit
    raise InputError(f"--budget {text}: must be such as 8ms or 70%")


def budget_ms(text: str, latency: float) -> float:
    """A budget, see `parse_budget`, in ms; ``%`` is of the ``latency`` in ms.

    Raises:
        InputError: the network is as fast already.
    """
    number, unit = parse_budget(text)
    wanted = number if unit == "ms" else number * latency / 100
    if wanted >= latency:
        raise InputError(f"--budget {text}: the network takes {latency:.2f} ms already")
    return wanted


def write_rows(file: Path, rows: Sequence[Row], target: float) -> None:
    """Write all that was tried as a CSV of `COLUMNS`, completely or not at all."""
    chosen = path(rows)
    with written_whole(file) as partial, open(partial, "w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, COLUMNS, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        for row in (row for row in rows if row["accuracy"] is not None):
            scores = dict(slope="", mnasnet=f"{mnasnet_score(row, target):.6g}")
            if row["step"]:
                scores["slope"] = f"{slope(chosen[row['step'] - 1], row):.6g}"
            numbers = ("latency_ms", "measured_ms", "accuracy")
            numbers = {name: f"{row[name]:.6g}" for name in numbers if row[name] is not None}
            writer.writerow({**row, **scores, **numbers, "chosen": int(row["chosen"])})


def draw(rows: Sequence[Row], target: float, metric: str):
    """A matplotlib Figure: latency against accuracy of all that was tried, and the path."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    tried = [row for row in rows if row["accuracy"] is not None]
    for found, ms, style, color, label in (
        (tried, "latency_ms", "x", "0.6", "tried, as expected"),
        (path(rows), "measured_ms", "o-", "0.0", "chosen, measured"),
    ):
        points = ([row[name] for row in found] for name in (ms, "accuracy"))
        axes.plot(*points, style, color=color, label=label)
    axes.axvline(target, color="#c0392b", linestyle="--", label="budget")
    axes.set(xlabel="latency, ms", ylabel=f"{metric}, held out, after a trial")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure
