"""Speed and memory of scoring detections, faster-coco-eval beside pycocotools.

    python tests/evaluation_speed.py

A drawn set of the size of COCO's val2017: 5,000 images, 80 classes, 36,000 boxes, 500,000
detections. Each of the two scores it in a process of its own, in turns, through mmdet's classes as
`CocoMetric` does. The detections are read before the clock starts.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np

NAMES = ("faster-coco-eval", "pycocotools")


def draw(images: int, classes: int, boxes: int, detections: int) -> tuple[dict, np.ndarray]:
    """Annotations in COCO's format, and detections: image, x, y, width, height, score, category.

    Of the boxes 1 in 100 is a crowd. Of the detections 1 in 4 is a box with some error, and the
    others lie anywhere; as in COCO, one image has many of them and another few.
    """
    random = np.random.default_rng(0)
    corners = random.uniform(0, 400, (boxes, 2))
    sides = np.exp(random.uniform(2, 5.5, (boxes, 2)))
    places, kinds = random.integers(images, size=boxes), random.integers(classes, size=boxes)
    rows = [
        dict(id=i + 1, image_id=image, category_id=kind + 1, bbox=[*corner, *side],
             area=side[0] * side[1], iscrowd=int(i % 100 == 0))
        for i, (image, kind, corner, side) in enumerate(
            zip(places.tolist(), kinds.tolist(), corners.tolist(), sides.tolist(), strict=True))
    ]  # fmt: skip
    content = dict(
        images=[dict(id=i, file_name=f"{i}.jpg", width=640, height=480) for i in range(images)],
        annotations=rows,
        categories=[dict(id=i + 1, name=f"class {i}") for i in range(classes)],
    )
    of = random.integers(boxes, size=detections)
    near = random.random(detections) < 0.25
    moved = corners[of] + random.normal(0, 0.1, (detections, 2)) * sides[of]
    start = np.where(near[:, None], moved, random.uniform(0, 400, (detections, 2)))
    kind = np.where(near, kinds[of], random.integers(classes, size=detections)) + 1
    score = np.where(near, random.beta(2, 2, detections), random.beta(1, 4, detections))
    image = np.where(near, places[of], (random.random(detections) ** 1.5 * images).astype(int))
    return content, np.column_stack([image, start, sides[of], score, kind])


def score(folder: Path, name: str) -> dict:
    """What one of `NAMES` takes: processor time and clock in seconds, memory in MiB."""
    from mmdet.datasets.api_wrappers import COCO
    from mmdet.evaluation.metrics import coco_metric

    from mixnet_dense.compat import fast_coco_evaluation

    annotated = COCO(str(folder / "annotations.json"))
    found = [
        dict(image_id=int(row[0]), bbox=row[1:5].tolist(), score=float(row[5]),
             category_id=int(row[6]))
        for row in np.load(folder / "detections.npy")
    ]  # fmt: skip
    detected = annotated.loadRes(found)
    del found
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with fast_coco_evaluation(coco_metric) if name == NAMES[0] else nullcontext():
        scorer = coco_metric.COCOeval(annotated, detected, "bbox")
    started, began = time.process_time(), time.perf_counter()
    for step in (scorer.evaluate, scorer.accumulate, scorer.summarize):
        step()
    seconds, clock = time.process_time() - started, time.perf_counter() - began
    np.savez(folder / f"{name}.npz", stats=scorer.stats[:12],
             **{key: scorer.eval[key] for key in ("precision", "recall", "scores")})  # fmt: skip
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    memory = dict(before=before / 1024, peak=peak / 1024)
    return dict(module=type(scorer).__module__, seconds=seconds, clock=clock, **memory)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(score(Path(args.child[0]), args.child[1])))
        return
    with tempfile.TemporaryDirectory() as folder:
        content, found = draw(5_000, 80, 36_000, 500_000)
        (Path(folder) / "annotations.json").write_text(json.dumps(content))
        np.save(Path(folder) / "detections.npy", found)
        rows = {name: [] for name in NAMES}
        for name in NAMES * args.rounds:
            command = [sys.executable, __file__, "--child", folder, name]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            rows[name].append(json.loads(done.stdout.splitlines()[-1]))
            print(name, rows[name][-1], flush=True)
        results = [np.load(Path(folder) / f"{name}.npz") for name in NAMES]
        difference = max(np.abs(results[0][key] - results[1][key]).max() for key in results[0])
    times, peaks = (
        [float(np.median([row[key] for row in rows[name]])) for name in NAMES]
        for key in ("seconds", "peak")
    )
    print(f"mAP {results[1]['stats'][0]:.4f}, largest difference of all numbers {difference:.1e}")
    print(f"{times[1] / times[0]:.2f} times as fast, {peaks[0] / peaks[1]:.2f} of the memory")


if __name__ == "__main__":
    main()
