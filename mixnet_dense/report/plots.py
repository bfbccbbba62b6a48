"""A report's numbers as pictures: SVG as a data URI, told apart without colours."""

import io
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from mixnet_dense.images import data_uri

_LINES = [(color, dash) for dash in ("-", "--", ":", "-.") for color in ("0.0", "0.45", "#c0392b")]
_MOST = 12  # curves or rows that a picture can show


def svg(figure: Figure) -> str:
    """A figure, made as wide as a phone, as a data URI; equal figures give equal ones."""
    figure.set_figwidth(4.4)
    file = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "report"}):
        figure.savefig(file, format="svg", metadata={"Date": None})
    return data_uri(file.getvalue(), "svg+xml")


def _svg(draw, title: str, x: str = "", y: str = "", tall: float = 3.4) -> str:
    """Let ``draw`` fill the axes of a picture; ``tall`` in inches."""
    figure = Figure(layout="constrained")
    figure.set_figheight(tall)
    axes = figure.subplots()
    axes.set(title=title, xlabel=x, ylabel=y)
    draw(axes)
    return svg(figure)


def lines(curves: Mapping[str, tuple[Sequence, Sequence]], title: str, x: str, y: str) -> str:
    """Curves by name, each x and y, in the unit square; few points are marked."""

    def draw(axes):
        for number, (name, points) in enumerate(curves.items()):
            color, dash = _LINES[number % len(_LINES)]
            marker = "o" if len(points[0]) <= 10 else ""
            axes.plot(*points, color=color, linestyle=dash, marker=marker, label=name)
        axes.set(xlim=(0, 1), ylim=(0, 1.02))
        axes.grid(alpha=0.3)
        if curves:
            axes.legend(fontsize=8)

    return _svg(draw, title, x, y)


def bars(values: Mapping[str, float | None], title: str, x: str, share: bool = True) -> str:
    """A bar with its value for each name; a dash where there is none."""

    def draw(axes):
        shown = [value or 0 for value in values.values()]
        texts = ["–" if v is None else f"{v:.2f}" if share else f"{v:,}" for v in values.values()]
        axes.bar_label(axes.barh(list(values), shown, color="0.45"), texts, padding=3)
        axes.invert_yaxis()
        axes.margins(x=0.18)
        if share:
            axes.set_xlim(0, 1.15)

    return _svg(draw, title, x, tall=1.1 + 0.32 * len(values))


def confusion(matrix: Sequence[Sequence[int]], names: Sequence[str], share: bool = False) -> str:
    """A matrix of annotated by found; of many names those that are confused most.

    The grey is the share of the row. A field shows its number, or with ``share`` that share in
    per cent.
    """
    matrix = np.array(matrix)
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    if len(names) > _MOST:
        wrong = matrix + matrix.T
        np.fill_diagonal(wrong, 0)
        if "background" == names[-1]:  # keep it
            wrong[-1] = wrong.sum() + 1
        kept = np.sort(np.argsort(-wrong.sum(1), kind="stable")[:_MOST])
        matrix, shares = matrix[np.ix_(kept, kept)], shares[np.ix_(kept, kept)]
        names = [names[at] for at in kept]

    def draw(axes):
        axes.imshow(shares, cmap="Greys", vmin=0, vmax=1)
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize=8)
        axes.set_yticks(range(len(names)), names, fontsize=8)
        for (row, column), value in np.ndenumerate(matrix):
            if value:
                text = f"{100 * shares[row, column]:.0f}" if share else f"{value}"
                color = "white" if shares[row, column] > 0.5 else "black"
                axes.text(column, row, text, ha="center", va="center", fontsize=7, color=color)

    title = "Confusion, % of the annotated pixels" if share else "Confusion, boxes"
    return _svg(draw, title, "found", "annotated", tall=4.4)
