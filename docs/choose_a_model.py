"""Write the tables and the plot of choose_a_model.md: python docs/choose_a_model.py

They are made from choose_a_model.csv. ``--measure`` writes that first: exact costs, and the
processor time of one image on one thread, fused, all models in turns. It takes some minutes.
"""

import csv
import re
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
TABLE, PAGE, PLOT = (HERE / f"choose_a_model.{kind}" for kind in ("csv", "md", "png"))
# MobileNetV3 table 3; MixConv table 2 for MobileNetV1 and MixNet. Top-1 in per cent.
IMAGENET = {
    "mobilenetv3_small": 67.4,
    "mobilenetv1": 70.6,
    "mobilenetv2": 72.0,
    "mnasnet_a1": 75.2,
    "mobilenetv3_large": 75.2,
    "mixnet_s": 75.8,
    "mixnet_m": 77.0,
    "mixnet_l": 78.9,
}
# Configs, whose first comments have the papers' figures, and what a model is shown.
CONFIGS = (
    "ssdlite_mobilenetv3_small_reduced ssdlite_mobilenetv3_small ssdlite_mobilenetv3_large_reduced "
    "ssdlite_mobilenetv3_large ssdlite_mobilenetv2 ssdlite_mnasnet ssdlite_mobilenetv1 "
    "ssdlite_mixnet ssdlite_mixnet_m ssdlite_mixnet_l lraspp_mobilenetv3_small_os32 "
    "lraspp_mobilenetv3_small lraspp_mobilenetv3_large_os32 lraspp_mobilenetv3_large "
    "lraspp_mobilenetv2 lraspp_mixnet"
).split()
SIZES = {"classification": (224, 224), "detection": (320, 320), "segmentation": (512, 1024)}
FIGURES = {
    "classification": "ImageNet top-1, %",
    "detection": "COCO test mAP",
    "segmentation": "Cityscapes mIoU",
}
ROUNDS = 30


def networks():
    """Name, kind, the paper's figure and the network, untrained, of each row."""
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    from mixnet_dense.backbones import build_classifier
    from mixnet_dense.costs.zoo import title_and_figure
    from mixnet_dense.registry import MODELS

    for name, figure in IMAGENET.items():
        yield name, "classification", figure, build_classifier(name)
    for name in CONFIGS:
        path = HERE.parent / "configs" / f"{name}.py"
        figure = (title_and_figure(path)[1] or "").partition(" ")[0]
        config = Config.fromfile(path)
        init_default_scope(config.default_scope)
        kind = "detection" if name.startswith("ssdlite") else "segmentation"
        yield name, kind, figure, MODELS.build(config.model)


def measure_all() -> None:
    """Write the csv. A time is the 30th percentile of all rounds: what disturbs makes it longer."""
    import numpy as np
    import torch

    from mixnet_dense.complexity import measure
    from mixnet_dense.export import fuse

    torch.set_num_threads(1)
    rows, calls, times = [], {}, {}
    for name, kind, figure, model in networks():
        cost = measure(model, (1025, 2049) if kind == "segmentation" else SIZES[kind])
        rows.append([name, kind, figure, cost.params, cost.macs])
        calls[name], times[name] = (fuse(model.eval()), torch.rand(1, 3, *SIZES[kind])), []
    with torch.inference_mode():
        for _ in range(ROUNDS):
            for name, (model, image) in calls.items():
                model(image)  # another model has used the caches
                start = time.process_time()
                model(image)
                times[name].append(1000 * (time.process_time() - start))
            print(".", end="", flush=True, file=sys.stderr)
    with TABLE.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["model", "kind", "paper", "parameters", "multiply_adds", "ms"])
        for row in rows:
            writer.writerow([*row, f"{np.percentile(times[row[0]], 30):.3g}"])


def rows() -> list[dict]:
    """The rows of the csv."""
    with TABLE.open() as file:
        return list(csv.DictReader(file))


def with_tables(text: str) -> str:
    """The page with a new table between each pair of markers."""

    def table(found: re.Match) -> str:
        lines = [
            found[1],
            f"| model | {FIGURES[found[2]]} | parameters | multiply-adds | ms, measured |",
            "|---|---:|---:|---:|---:|",
        ]
        for row in rows():
            if row["kind"] != found[2]:
                continue
            name, numbers = row["model"], [int(row["parameters"]), int(row["multiply_adds"])]
            link = f"[`{name}`](../configs/{name}.py)" if name in CONFIGS else f"`{name}`"
            cells = [link, row["paper"] or "–", *(f"{number:,}" for number in numbers), row["ms"]]
            lines.append(f"| {' | '.join(cells)} |")
        return "\n".join([*lines, "<!-- end -->"])

    return re.sub(r"(<!-- table: (\w+) -->).*?<!-- end -->", table, text, flags=re.DOTALL)


def draw() -> None:
    """The papers' figures over the measured times."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(3, 1, figsize=(7, 10), layout="constrained")
    for axis, (kind, title) in zip(axes, FIGURES.items(), strict=True):
        found = [row for row in rows() if row["kind"] == kind and row["paper"]]
        best = 0.0
        for row in sorted(found, key=lambda row: float(row["ms"])):
            point = float(row["ms"]), float(row["paper"])
            up = 1 if point[1] > 1.01 * best else -1  # below, where a faster one is near
            best = max(best, point[1])
            axis.plot(*point, "o", color="tab:blue")
            label = re.sub("^(ssdlite|lraspp)_", "", row["model"])
            place = dict(xytext=(3, 3 * up), textcoords="offset points", rotation=30 * up)
            axis.annotate(label, point, fontsize=8, va="bottom" if up > 0 else "top", **place)
        axis.margins(x=0.25, y=0.5)
        axis.set_ylabel(f"{title} (the papers')")
        axis.set_xlabel("{} x {} pixels, ms of one thread".format(*SIZES[kind]))
    figure.savefig(PLOT, dpi=90)


if __name__ == "__main__":
    if sys.argv[1:] == ["--measure"]:
        measure_all()
    PAGE.write_text(with_tables(PAGE.read_text("utf-8")), "utf-8")
    draw()
