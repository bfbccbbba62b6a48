"""A report's page: one file with all pictures in it, without scripts."""

import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import cv2
import jinja2
import numpy as np
from PIL import Image

from mixnet_dense.engine.curves import Log, draw_curves
from mixnet_dense.engine.results import palette_image, with_palette
from mixnet_dense.files import written_whole
from mixnet_dense.images import data_uri, read_image
from mixnet_dense.report import plots

RECALLS = np.linspace(0, 1, 101)
"""Where ``metrics.json`` has the precision."""
_SIDE = 480  # of a picture in the page, in pixels
_EXAMPLES = 3  # of each kind
_KINDS = {
    "missed": "Annotated boxes where nothing of their class was found and no other class instead.",
    "wrong class": "The box fits an object that is annotated as another class.",
    "badly placed": "A box of the class is there, but the IoU is between 0.1 and 0.5.",
    "duplicate": "The object was found before, with a higher score.",
    "background": "Nothing is annotated there: an error of the detector, or of the labels.",
    "right": "Images that came out well.",
}
_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def number(value: float | None) -> str:
    """A number for a reader; a dash for None."""
    if value is None:
        return "–"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.3f}" if value < 10 else f"{value:.1f}"


_ENVIRONMENT.filters["number"] = number


def render(path: Path, template: str, **values) -> None:
    """Write a page from a template of this folder."""
    text = _ENVIRONMENT.get_template(template).render(**values)
    with written_whole(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write(path: Path, data: Mapping, rows: Sequence[dict], log: Log | None, dataset) -> None:
    """Write ``index.html``.

    Args:
        path: of the page.
        data: the content of ``metrics.json``.
        rows: of ``images.json``.
        log: of the training, if there is one.
        dataset: the test set; a segmenter's has the annotated maps.
    """
    values = dict(title=f"{Path(data['config']).stem}: report", data=data, headline=headline(data))
    if data["task"] == "detection":
        values.update(plots=_detection_plots(data), gallery=detection_gallery(data, rows))
    else:
        colours = [(n, "rgb({}, {}, {})".format(*c)) for n, c in _colours(dataset.metainfo)]
        gallery = _segmentation_gallery(path.parent, rows, dataset)
        matrix = data["segmentation"]["confusion"]
        confusion = plots.confusion(matrix, data["classes"], share=True)
        values.update(colours=colours, gallery=gallery, plots=dict(confusion=confusion))
    values["plots"]["training"] = log and plots.svg(draw_curves(log))
    render(path, "report.html", **values)


def headline(data: Mapping) -> dict:
    """The numbers that stand first, by name."""
    unit = "" if data["task"] == "detection" else ", %"
    shown = {
        name.rpartition("/")[2].removeprefix("bbox_") + unit: None if value == -1 else value
        for name, value in data["metrics"].items()
        if not name.startswith("IoU.") and not name.endswith("_precision")
    }
    if data["task"] == "detection":
        shown["best threshold"] = data["detection"]["threshold"]
    if data["costs"]:
        shown["million parameters"] = data["costs"]["params"] / 1e6
        shown["million multiply-adds"] = data["costs"]["macs"] / 1e6
    if data["speed"]:
        shown["images a second"] = 1000 / data["speed"]["median_ms"]
    return shown


def _detection_plots(data: Mapping) -> dict[str, str | None]:
    found = data["detection"]
    sizes = {name: found["ap"][0][name] for name in ("small", "medium", "large")}
    anchors = {
        f"{row['size']} ({row['annotated']})": row["unreached"] for row in found["anchors"] or ()
    }
    names = [*data["classes"], "background"]
    return dict(
        curves=_curves(found["curves"]),
        calibration=_calibration(found["calibration"]["bins"]),
        sizes=plots.bars(sizes, "AP by the size of the boxes", "AP"),
        errors=plots.bars(found["errors"], "Kinds of boxes", "boxes", share=False),
        confusion=plots.confusion(found["confusion"], names),
        anchors=anchors and plots.bars(anchors, "Out of reach of all anchors", "share of boxes"),
    )


def _curves(found: Mapping) -> str:
    """Precision at two IoUs, and at 0.5 of each class if they are few."""
    chosen = {"IoU 0.5": found["iou50"], "IoU 0.75": found["iou75"]}
    if len(found["classes"]) <= 10:
        chosen.update({f"{name}, 0.5": curve for name, curve in found["classes"].items()})
    curves = {name: (RECALLS, curve) for name, curve in chosen.items() if curve}
    return plots.lines(curves, "Precision and recall", "recall", "precision")


def _calibration(bins: Sequence[Mapping]) -> str:
    points = [[row[key] for row in bins] for key in ("score", "precision")]
    curves = {"this detector": points, "right as often as it says": (RECALLS, RECALLS)}
    return plots.lines(curves, "Calibration of the scores", "score", "share of right boxes")


def detection_gallery(data: Mapping, rows: Sequence[dict]) -> list[dict]:
    """For each kind the images with most boxes of it, each image once."""
    groups, shown = [], set()
    for kind, text in _KINDS.items():
        total = data["detection"]["errors"][kind]
        if not total:
            continue
        left = [row for row in rows if row["count"].get(kind) and row["file_name"] not in shown]
        left.sort(key=lambda row: (kind == "right" and -row["score"], -row["count"][kind]))
        chosen = [with_picture(row, f"i{len(shown) + n}") for n, row in enumerate(left[:_EXAMPLES])]
        shown.update(row["file_name"] for row in chosen)
        text += "" if chosen else " All images with such boxes are shown above."
        groups.append(dict(title=f"{kind.capitalize()}: {total:,} boxes", text=text, rows=chosen))
    return groups


def with_picture(row: Mapping, name: str) -> dict:
    """A row of ``images.json`` with its picture, if the file is there, under an id."""
    uri = picture(row["file_name"])
    return dict(row, image=uri and name, uri=uri, name=Path(row["file_name"]).name)


def picture(file: str) -> str:
    """An image file, made smaller, as a data URI; '' if it cannot be read here."""
    image = read_image(Path(file))
    if isinstance(image, str):
        return ""
    factor = min(1, _SIDE / max(image.shape[:2]))
    image = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    content = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 80])[1]
    return data_uri(content.tobytes(), "jpeg")


def small_map(image: Image.Image) -> str:
    """A label map, made smaller without new colours, as a data URI."""
    image.thumbnail((_SIDE, _SIDE), Image.Resampling.NEAREST)
    file = io.BytesIO()
    image.save(file, "png")
    return data_uri(file.getvalue(), "png")


def _colours(meta: Mapping) -> Iterable:
    return zip(meta["classes"], with_palette(meta)["palette"], strict=True)


def _segmentation_gallery(folder: Path, rows: Sequence[dict], dataset) -> list[dict]:
    """The images with the most wrong pixels, and some others."""
    places = {dataset.get_data_info(at)["img_path"]: at for at in range(len(dataset))}
    ranked = sorted(rows, key=lambda row: row["score"])
    worst, best = ranked[: 2 * _EXAMPLES], ranked[2 * _EXAMPLES :][-_EXAMPLES:]
    groups = []
    for title, chosen in (("Most wrong pixels", worst), ("Least wrong pixels", best)):
        panels = []
        for row in chosen:
            sample = dataset[places[row["file_name"]]]["data_samples"]
            sample = sample[0] if isinstance(sample, list) else sample  # of a test in many scales
            annotated = sample.gt_sem_seg.data[0].numpy()
            with Image.open(folder / row["mask"]) as file:
                found = np.array(file)
            errors = np.where(annotated == found, 255, 0)
            errors[annotated >= len(dataset.metainfo["classes"])] = 160
            maps = {
                "annotated": palette_image(annotated, dataset.metainfo),
                "found": palette_image(found, dataset.metainfo),
                f"{row['score']:.1%} right": Image.fromarray(errors.astype(np.uint8)),
            }
            name = Path(row["file_name"]).name
            found = [(caption, small_map(image)) for caption, image in maps.items()]
            panels.append(dict(panels=[(name, picture(row["file_name"])), *found]))
        groups.append(dict(title=title, rows=panels))
    return groups
