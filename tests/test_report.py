"""Reports: hand-made cases with known answers, and the files that the tools write."""

import json
import shutil

import numpy as np
import pytest
import torch
from running import tool

from mixnet_dense.errors import InputError
from mixnet_dense.report import detection, page, segmentation
from mixnet_dense.report.compare import most_different
from mixnet_dense.report.run import training_log

CLASSES = ("cat", "dog", "cow")  # no cow ever occurs


def photo(annotated, found, crowd=(), **more):
    """Boxes as (x, y, width, height, label), found ones with a score after these."""

    def columns(rows, width):
        table = np.array(rows, float).reshape(-1, width)
        return np.concatenate([table[:, :2], table[:, :2] + table[:, 2:4]], 1), table[:, 4].astype(
            int
        )

    boxes, labels = columns([*annotated, *crowd], 5)
    corners, found_labels = columns(found, 6)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    crowds = np.arange(len(boxes)) >= len(annotated)
    scores = np.array([row[5] for row in found], float)
    size = dict(file="a.jpg", size=(400, 400)) | more
    return detection.Photo(
        boxes=boxes, labels=labels, areas=areas, crowd=crowds,
        found=corners, scores=scores, found_labels=found_labels, **size,
    )  # fmt: skip


def counted(*photos, **more):
    """The numbers, and the kinds that occur."""
    numbers, _ = detection.analyse(photos, CLASSES, **more)
    return numbers, {kind: count for kind, count in numbers["errors"].items() if count}


CAT, DOG = (10, 10, 100, 100, 0), (200, 200, 100, 100, 1)


def test_a_perfect_detector():
    numbers, kinds = counted(photo([CAT, DOG], [(*CAT, 0.9), (*DOG, 0.8)]))
    assert kinds == {"right": 2}
    rows = {row["category"]: row for row in numbers["ap"]}
    assert list(rows) == ["all", *CLASSES]
    assert rows["all"] == dict(
        category="all", annotated=2, all=1, small=None, medium=None, large=1, iou50=1
    )
    assert rows["cow"]["all"] is None and rows["cow"]["annotated"] == 0  # never occurs
    assert numbers["curves"]["iou75"] == [1.0] * 101 and list(numbers["curves"]["classes"]) == [
        "cat", "dog"
    ]  # fmt: skip
    assert (numbers["threshold"], numbers["precision"], numbers["recall"]) == (0.8, 1, 1)
    assert numbers["confusion"] == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    # bins of 0.8 to 0.9 and of 0.9 to 1, all right: 0.2 and 0.1 away
    assert numbers["calibration"]["error"] == pytest.approx(0.15)


@pytest.mark.parametrize(
    ("found", "kind", "also"),
    [
        ((70, 10, 100, 100, 0), "badly placed", {}),  # IoU 40 * 100 / 16000 = 0.25
        ((40, 10, 100, 100, 0), "right", {}),  # IoU 70 * 100 / 13000 = 0.54
        ((10, 10, 100, 100, 1), "wrong class", {}),
        ((100, 100, 100, 100, 0), "background", {"missed": 1}),  # IoU 0.005
        ((60, 10, 100, 100, 1), "background", {"missed": 1}),  # IoU 0.33 with another class
    ],
)
def test_where_one_box_is_found(found, kind, also):
    numbers, kinds = counted(photo([CAT, DOG], [(*DOG, 0.9), (*found, 0.95)]))
    expected = {"right": 1, **also}
    expected[kind] = expected.get(kind, 0) + 1
    assert kinds == expected
    confused = kind == "wrong class"
    assert numbers["confusion"][0] == [kind == "right", confused, 0, kind in _MISSED]
    assert numbers["confusion"][3] == [
        kind in _MISSED and found[4] == 0,
        found[4] and not confused,
        0,
        0,
    ]


_MISSED = ("badly placed", "background")  # the box is annotated, and found as nothing


def test_a_doubled_box():
    twice = [(*CAT, 0.9), (12, 10, 100, 100, 0, 0.95), (*DOG, 0.5)]
    twice.sort(key=lambda row: -row[5])
    numbers, kinds = counted(photo([CAT, DOG], twice))
    assert kinds == {"right": 2, "duplicate": 1}
    assert numbers["confusion"][3] == [1, 0, 0, 0]
    # two boxes beside each other, each found once, though one overlaps both
    beside = photo([CAT, (40, 10, 100, 100, 0)], [(25, 10, 100, 100, 0, 0.9), (*CAT, 0.8)])
    assert counted(beside)[1] == {"right": 2}


def test_nothing_found():
    numbers, kinds = counted(photo([CAT, DOG], []), photo([CAT], []))
    assert kinds == {"missed": 3}
    assert numbers["ap"][0]["all"] == 0 and numbers["recall"] == 0
    assert numbers["precision"] is None and numbers["calibration"] == dict(error=None, bins=[])
    assert [row[3] for row in numbers["confusion"]] == [2, 1, 0, 0]


def test_nothing_annotated():
    numbers, kinds = counted(photo([], [(*CAT, 0.9)]), photo([], []))
    assert kinds == {"background": 1} and numbers["threshold"] == 0.3
    assert numbers["ap"][0]["all"] is None and numbers["recall"] is None
    assert numbers["curves"] == dict(iou50=[], iou75=[], classes={})
    numbers, kinds = counted(photo([], []))
    assert kinds == {} and numbers["annotated"] == 0


def test_boxes_in_a_crowd_region_are_not_counted():
    crowd = (0, 0, 400, 400, 0)
    inside, whole = (300, 9, 50, 50, 0, 0.95), (*crowd, 0.92)
    numbers, kinds = counted(photo([CAT], [inside, whole, (*CAT, 0.9)], [crowd]))
    assert kinds == {"right": 1} and numbers["annotated"] == 1
    assert numbers["confusion"][3] == [0, 0, 0, 0] and numbers["ap"][0]["all"] == 1
    _, kinds = counted(photo([CAT], [(*CAT, 0.9), (300, 9, 50, 50, 1, 0.95)], [crowd]))
    assert kinds == {"right": 1, "background": 1}  # a dog in a crowd of cats


def test_errors_below_the_best_threshold_are_left_out():
    found = [(*CAT, 0.9), (*DOG, 0.7), (300, 0, 50, 50, 0, 0.6), (300, 60, 50, 50, 0, 0.5)]
    numbers, kinds = counted(photo([CAT, DOG], found))
    assert numbers["threshold"] == 0.7 and kinds == {"right": 2}


def test_average_precision_by_hand():
    # IoU 0.54 and right up to IoU 0.5, after a box in the background: half of the boxes
    numbers, _ = counted(photo([CAT], [(300, 0, 50, 50, 0, 0.9), (40, 10, 100, 100, 0, 0.8)]))
    assert numbers["curves"]["iou50"] == [0.5] * 101 and numbers["curves"]["iou75"] == [0] * 101
    assert (numbers["ap"][1]["iou50"], numbers["ap"][1]["all"]) == pytest.approx((0.5, 0.05))


def test_boxes_that_no_anchor_reaches():
    def anchors(shape):  # of an input with half the pixels
        assert shape == (200, 200)
        return torch.tensor([[5.0, 5.0, 55.0, 55.0], [0.0, 0.0, 10.0, 10.0]])

    small = (0, 0, 14, 14, 1)  # IoU 49 / 100 with the second anchor
    given = photo([CAT, DOG, small], [], input=(200, 200), scale=(0.5, 0.5))
    numbers, _ = counted(given, photo([], []), anchors=anchors)
    assert [tuple(row.values()) for row in numbers["anchors"]] == [
        ("small", 1, 1.0), ("medium", 0, None), ("large", 2, 0.5)
    ]  # fmt: skip


def test_rows_of_images():
    _, (row, empty) = detection.analyse(
        [photo([CAT, DOG], [(*CAT, 0.9)]), photo([], [], file="b.jpg")], CLASSES
    )
    assert (row["file_name"], row["score"], row["count"]) == (
        "a.jpg", pytest.approx(2 / 3), {"right": 1, "missed": 1}
    )  # fmt: skip
    assert [box["kind"] for box in row["annotated"]] == ["right", "missed"]
    assert row["found"] == [dict(bbox=list(CAT[:4]), category="cat", kind="right", score=0.9)]
    assert empty["score"] == 1 and empty["found"] == []
    found = [(*CAT[:4], 1, 0.9), (*CAT, 0.8), (*DOG[:4], 0, 0.8)]
    _, (row,) = detection.analyse([photo([CAT, DOG], found, [(0, 0, 9, 9, 1)])], CLASSES)
    assert [box["kind"] for box in row["annotated"]] == ["right", "wrong class", "crowd"]


# ---------------------------------------------------------------- segmentation


def maps(*pairs):
    given = [segmentation.count("a.png", *map(np.array, pair), 3) for pair in pairs]
    return segmentation.analyse(given, ("sky", "road", "car"))


def test_label_maps_with_known_answers():
    annotated = [[0, 0, 1, 1], [0, 0, 1, 255]]
    numbers, (row,) = maps((annotated, [[0, 0, 1, 1], [0, 0, 1, 2]]))
    assert row["score"] == 1 and row["size"] == [2, 4]
    assert [tuple(each.values()) for each in numbers["iou"]] == [
        ("sky", 4, 1.0), ("road", 3, 1.0), ("car", 0, None)  # never occurs
    ]  # fmt: skip
    numbers, rows = maps(
        (annotated, [[0, 1, 1, 1], [0, 1, 2, 2]]), (np.full((1, 2), 255), [[0, 1]])
    )
    assert numbers["confusion"] == [[2, 2, 0], [0, 2, 1], [0, 0, 0]]
    assert [each["iou"] for each in numbers["iou"]] == [2 / 4, 2 / 5, 0]
    assert [each["score"] for each in rows] == [4 / 7, 1.0]  # nothing is annotated in the second


# ------------------------------------------------------------------- the tools


def content(report, name="metrics"):
    return json.loads((report / f"{name}.json").read_text())


FIELDS = {
    "version",
    "task",
    "config",
    "checkpoint",
    "classes",
    "images",
    "metrics",
    "costs",
    "speed",
}


def test_a_detectors_report(report):
    report, out = report / "report", report / "metrics.json"
    names = sorted(path.name for path in report.iterdir())
    assert names == ["images.json", "index.html", "metrics.json", "predictions.json"]
    data = content(report)
    assert set(data) == FIELDS | {"detection"} and data["version"] == 1 and data["images"] == 3
    assert data["metrics"] == json.loads(out.read_text())["metrics"]
    overall = data["detection"]["ap"][0]
    for field, name in (("all", "mAP"), ("iou50", "mAP_50"), ("large", "mAP_l")):
        value = data["metrics"][f"coco/bbox_{name}"]
        assert overall[field] == (None if value == -1 else pytest.approx(value, abs=6e-4))
    for row in data["detection"]["ap"][1:]:
        value = data["metrics"][f"coco/{row['category']}_precision"]
        assert row["all"] == (None if value is None else pytest.approx(value, abs=6e-4))
    assert sum(row["annotated"] for row in data["detection"]["anchors"]) == 9
    assert data["costs"]["shape"] == [192, 192] and data["speed"]["median_ms"] > 0
    assert {path["file_name"][-10:] for path in content(report, "images")["images"]} == {
        "000000.jpg", "000001.jpg", "000003.jpg"
    }  # fmt: skip


def test_a_page_needs_no_other_file(report):
    text = (report / "report/index.html").read_text()
    sources = [part.partition('"')[0] for part in text.replace("src=", "href=").split('href="')[1:]]
    assert sources and all(source.startswith(("data:", "#")) for source in sources)
    assert "http" not in text.replace("http-equiv", "") and "<script" not in text
    assert "How it was trained" in text  # the work dir has curves
    assert text.count("<svg viewBox") >= 6


def test_the_images_with_most_errors_of_each_kind_are_shown_once(sample):
    kinds = ("missed", "badly placed", "background")
    names = sorted(map(str, (sample / "train2017").glob("*.jpg")))
    rows = [  # each image has all kinds, and most of one of them
        dict(file_name=name, score=0, count=dict.fromkeys(kinds, 1) | {kinds[n % 3]: 9 + n})
        for n, name in enumerate(names)
    ]
    errors = {"right": 0, "duplicate": 0, "wrong class": 0} | dict.fromkeys(kinds, 30)
    groups = page.detection_gallery(dict(detection=dict(errors=errors)), rows)
    titles = ["Missed: 30 boxes", "Badly placed: 30 boxes", "Background: 30 boxes"]
    assert [group["title"] for group in groups] == titles
    shown = [[names.index(row["file_name"]) for row in group["rows"]] for group in groups]
    assert shown == [[6, 3, 0], [7, 4, 1], [5, 2]]
    ids = [row["image"] for group in groups for row in group["rows"]]
    assert len(set(ids)) == len(ids) == 8


@pytest.mark.parametrize("content", [None, b"", b"no picture"])
def test_a_photo_that_cannot_be_read_has_no_picture(tmp_path, content):
    if content is not None:
        (tmp_path / "a.jpg").write_bytes(content)
    assert page.picture(str(tmp_path / "a.jpg")) == ""


def test_names_cannot_become_markup(tmp_path):
    page.render(tmp_path / "a.html", "base.html", title="<script>")
    assert "<script>" not in (tmp_path / "a.html").read_text()


def test_a_segmenters_report(segmenter, tmp_path):
    arguments = (segmenter / "segmenter.py", segmenter / "work", "--work-dir", tmp_path / "log")
    tool("test")(*arguments, "--report", tmp_path / "a")
    data = content(tmp_path / "a")
    assert set(data) == FIELDS | {"segmentation"}
    for row in data["segmentation"]["iou"]:
        value = data["metrics"][f"IoU.{row['category']}"]
        assert row["iou"] == (None if value is None else pytest.approx(value / 100, abs=1e-4))
    rows = content(tmp_path / "a", "images")["images"]
    assert len(rows) == 4 and all((tmp_path / "a" / row["mask"]).is_file() for row in rows)
    text = (tmp_path / "a/index.html").read_text()
    assert text.count('<img src="data:image/png') == 3 * 4  # annotated, found, wrong
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    rows[2]["score"] += 0.1
    (tmp_path / "b/images.json").write_text(json.dumps(dict(version=1, images=rows)))
    both = (tmp_path / "a", tmp_path / "b", "--out", tmp_path / "c.html")
    tool("compare")(*both)
    text = (tmp_path / "c.html").read_text()
    assert text.count("<h3>") == 1 and text.count('<img src="data:image/png') == 2
    (tmp_path / "b" / rows[2]["mask"]).unlink()
    with pytest.raises(InputError, match="leftImg8bit.png: not there"):
        tool("compare")(*both)


def test_reports_side_by_side(report, tmp_path, capsys):
    report = report / "report"
    other = tmp_path / "other"
    other.mkdir()
    data, rows = content(report), content(report, "images")
    data["metrics"]["coco/bbox_mAP"] = 0.4321
    rows["images"][1].update(score=rows["images"][1]["score"] + 0.25, found=[])
    (other / "metrics.json").write_text(json.dumps(data))
    (other / "images.json").write_text(json.dumps(rows))
    capsys.readouterr()
    tool("compare")(report, other, "--out", tmp_path / "c.html")
    before = f"{content(report)['metrics']['coco/bbox_mAP']:.3f}"
    assert f"| mAP | {before} | 0.432 |\n" in capsys.readouterr().out
    text = (tmp_path / "c.html").read_text()
    assert text.count("<h3>") == 1 and "0.432" in text
    assert text.count('<use href="#i0"/>') == 3 and text.count('<image id="i0"') == 1
    (other / "metrics.json").write_text(json.dumps(data | {"version": 2}))
    with pytest.raises(InputError, match="metrics.json: has version 2, this program reads 1"):
        tool("compare")(report, other)
    (other / "metrics.json").write_text(json.dumps(data | {"task": "segmentation"}))
    with pytest.raises(InputError, match="other: is a report of segmentation, .* of detection"):
        tool("compare")(report, other)
    with pytest.raises(InputError, match="metrics.json: is not of tools/test.py --report"):
        tool("compare")(report, tmp_path)
    with pytest.raises(InputError, match="give two reports or more"):
        tool("compare")(report)


def test_the_images_that_differ_most():
    one = {
        name: dict(score=score) for name, score in (("a", 0.5), ("b", 1.0), ("c", 0.1), ("d", 0))
    }
    two = {name: dict(score=score) for name, score in (("a", 0.5), ("b", 0.2), ("c", 0.4))}
    assert most_different([one, two]) == ["b", "c"]
    assert most_different([one, two], 1) == ["b"]


def test_the_log_of_a_training_is_thinned(tmp_path):
    assert training_log("published://x") is None
    (tmp_path / "1/vis_data").mkdir(parents=True)
    rows = [dict(lr=1, loss=2.0, time=1.0, data_time=0.1, iter=step) for step in range(1200)]
    (tmp_path / "1/vis_data/scalars.json").write_text("\n".join(map(json.dumps, rows)))
    log = training_log(str(tmp_path))
    assert log == training_log(str(tmp_path / "epoch_1.pth")) and len(log.train) == 400
