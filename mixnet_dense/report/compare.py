"""Several reports side by side."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

from mixnet_dense.benchmark.presentation import markdown
from mixnet_dense.errors import InputError
from mixnet_dense.files import check_writable, read_json
from mixnet_dense.report import page, plots
from mixnet_dense.report.run import VERSION

_IMAGES = 8


def compare(folders: Sequence[str], out: str) -> str:
    """Write a page of reports side by side.

    Args:
        folders: of two or more reports of one task. Their images are read from where they were
            when the model was tested; one that is not there is left grey.
        out: the page.

    Returns:
        The page's table of numbers as text.

    Raises:
        InputError: a folder has no report that this version reads, or not all of it; the tasks
            differ; or the page cannot be written.
    """
    check_writable(out)
    reports = [_read(folder, "metrics.json") for folder in folders]
    tasks = [report["task"] for report in reports]
    for folder, task in zip(folders, tasks, strict=True):
        if task != tasks[0]:
            raise InputError(f"{folder}: is a report of {task}, {folders[0]} of {tasks[0]}")
    rows = [numbers(report) for report in reports]
    every = dict.fromkeys(name for row in rows for name in row)
    table = {name: [row.get(name) for row in rows] for name in every}
    names = _short(folders)
    images = [
        {row["file_name"]: row for row in _read(folder, "images.json")["images"]}
        for folder in folders
    ]
    chosen, detects = most_different(images), tasks[0] == "detection"
    page.render(
        Path(out),
        "compare.html",
        title="Reports side by side",
        names=names,
        table=table,
        common=len(set(images[0]).intersection(*images[1:])),
        measure="F1 of the boxes" if detects else "share of right pixels",
        detects=detects,
        curves=detects and _curves(names, reports),
        chosen=[_pictured(f"i{n}", file, images, folders, names) for n, file in enumerate(chosen)],
    )
    cells = ((name, *map(page.number, values)) for name, values in table.items())
    return markdown(("", *names), cells)


def _read(folder: str, name: str) -> dict:
    path = Path(folder) / name
    try:
        content = read_json(path)
        version = content["version"]
    except (InputError, TypeError, KeyError) as error:
        raise InputError(f"{path}: is not of tools/test.py --report") from error
    if version != VERSION:
        raise InputError(f"{path}: has version {version}, this program reads {VERSION}")
    return content


def numbers(report: Mapping) -> dict[str, float | None]:
    """The numbers of a report that are worth comparing, by name."""
    rows = page.headline(report)
    if report["task"] == "segmentation":
        per_class = {f"IoU {row['category']}": row["iou"] for row in report["segmentation"]["iou"]}
        return rows | per_class
    found = report["detection"]
    rows |= {name: found[name] for name in ("precision", "recall")} | found["errors"]
    rows["calibration error"] = found["calibration"]["error"]
    for row in found["anchors"] or ():
        rows[f"{row['size']}, out of reach of all anchors"] = row["unreached"]
    return rows | {f"AP {row['category']}": row["all"] for row in found["ap"] if row["annotated"]}


def most_different(images: Sequence[Mapping[str, Mapping]], most: int = _IMAGES) -> list[str]:
    """The files, in all reports, whose scores lie furthest apart, and not at all equal."""
    spread = {}
    for file in images[0]:
        if all(file in rows for rows in images):
            scores = [rows[file]["score"] for rows in images]
            spread[file] = max(scores) - min(scores)
    ranked = sorted((file for file in spread if spread[file]), key=lambda file: -spread[file])
    return ranked[:most]


def _curves(names: Sequence[str], reports: Sequence[Mapping]) -> str:
    found = (report["detection"]["curves"]["iou50"] for report in reports)
    curves = {n: (page.RECALLS, curve) for n, curve in zip(names, found, strict=True) if curve}
    return plots.lines(curves, "Precision and recall at IoU 0.5", "recall", "precision")


def _short(folders: Sequence[str]) -> list[str]:
    """The folders without the parents that all have."""
    paths = [Path(folder).resolve() for folder in folders]
    common = os.path.commonpath([path.parent for path in paths])
    return [path.relative_to(common).as_posix() for path in paths]


def _pictured(id_: str, file: str, images: Sequence, folders: Sequence[str], names) -> list:
    """A file's rows of all reports, each with what its figure needs."""
    first = page.with_picture(images[0][file], id_)
    rows = []
    for folder, name, report in zip(folders, names, images, strict=True):
        row = dict(first, **report[file], caption=f"{name}: {report[file]['score']:.2f}")
        if "mask" in row:
            mask = Path(folder) / row["mask"]
            if not mask.is_file():
                raise InputError(f"{mask}: not there, images.json of this report names it")
            with Image.open(mask) as image:
                row["map"] = page.small_map(image)
        rows.append(row)
    return rows
