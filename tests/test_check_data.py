"""Planted faults are found, each by its name and its image; clean sets have none."""

import copy
import json
import os
import re

import numpy as np
import pytest
from bad_files import giant
from labelled import CLASSES, paint, pairs
from mmengine.config import Config
from mmengine.registry import init_default_scope
from PIL import Image
from running import ROOT, TINY_DETECTOR, TINY_SEGMENTER, tool

from mixnet_dense.data.faults import PROBLEMS, table
from mixnet_dense.det import coco
from mixnet_dense.engine.check import check_data
from mixnet_dense.engine.config import load_config
from mixnet_dense.errors import InputError
from mixnet_dense.registry import DATASETS

SIZE = (100, 80)
TRAIN, VAL = ("a.jpg", "b.jpg", "c.png", "d.png"), ("v.jpg", "w.png")


def content(names):
    images = [dict(id=i, file_name=n, width=SIZE[0], height=SIZE[1]) for i, n in enumerate(names)]
    box = dict(bbox=[10, 12, 40, 50], area=2000, iscrowd=0)
    rows = [dict(box, id=i + 1, image_id=i, category_id=i % 2 + 1) for i in range(len(names))]
    categories = [dict(id=i + 1, name=name) for i, name in enumerate(CLASSES)]
    return dict(images=images, annotations=rows, categories=categories)


@pytest.fixture
def clean(tmp_path):
    """A folder with photos, train.json and val.json, and nothing wrong."""
    for name in (*TRAIN, *VAL):
        paint(tmp_path / name, SIZE, [("cat", 10, 12, 40, 50)])
    for split, names in (("train", TRAIN), ("val", VAL)):
        (tmp_path / f"{split}.json").write_text(json.dumps(content(names)))
    return tmp_path


def config(folder, classes=CLASSES, train="train.json"):
    def loader(file, **options):
        data = dict(data_root=str(folder), ann_file=file, metainfo=dict(classes=classes))
        return dict(dataset=dict(type="mixnet_dense.CocoDataset", **data, **options))

    pipeline = [dict(type="Resize", scale=(320, 320), keep_ratio=False)]
    return Config(
        dict(
            model=dict(bbox_head=dict(type="mixnet_dense.SSDLiteHead")),
            train_dataloader=loader(train),
            val_dataloader=loader("val.json"),
            test_dataloader=loader("val.json", pipeline=pipeline),
        )
    )


def found(folder, whole=True, **options):
    """(split, problem, image that its one example names) of everything that is found."""
    splits = check_data(config(folder, **options), whole)
    return {
        (split, problem, finding.example)
        for split, findings in splits.items()
        for problem, rows in findings.ordered()
        for finding in rows
    }


def image(change):
    return lambda c: c["images"][1].update(change)


def box(*values, **change):
    return lambda c: c["annotations"][1].update(bbox=list(values), **change)


def without(part, key):
    return lambda c: c[part][1].pop(key)


IN_FILE = [
    ("image without id, file_name, width or height", without("images", "width"), "b.jpg"),
    ("image without id, file_name, width or height", image(dict(height=0)), "b.jpg"),
    ("image id used twice", lambda c: c["images"].append(c["images"][1]), "1 of b.jpg"),
    ("image listed twice", lambda c: c["images"].append(dict(c["images"][1], id=9)), "b.jpg"),
    ("category named twice", lambda c: c["categories"].append(dict(id=9, name="cat")), "cat"),
    ("category named twice", lambda c: c["categories"].append(dict(id=2, name="dog")), "dog"),
    ("annotation id missing or used twice", without("annotations", "id"), "None of b.jpg"),
    ("annotation of an unknown image", lambda c: c["annotations"][1].update(image_id=77), "77"),
    ("annotation of an unknown category", lambda c: c["annotations"].append(
        dict(c["annotations"][1], bbox=[1, 1, 50, 50], id=9, category_id=7)), "9 of b.jpg"),
    ("iscrowd neither 0 nor 1", lambda c: c["annotations"][1].update(iscrowd=2), "b.jpg"),
    ("box that is not four finite numbers", box(1, 2, 30), "b.jpg"),
    ("box that is not four finite numbers", box(1, 2, 30, float("nan")), "b.jpg"),
    ("box that is not four finite numbers", box(1, 2, 30, float("inf")), "b.jpg"),
    ("box that is not four finite numbers", box(1, 2, "30", 30), "b.jpg"),
    ("box that is not four finite numbers", without("annotations", "bbox"), "b.jpg"),
    ("box of negative width or height", box(50, 50, -40, 20), "b.jpg, bbox [50, 50, -40, 20]"),
    ("box of no width or height", box(50, 20, 0, 20), "b.jpg"),
    ("box smaller than a pixel", box(50, 20, 0.5, 60), "b.jpg"),
    ("box outside the image", box(120, 20, 30, 30), "b.jpg"),
    ("box outside the image", box(10, -50, 30, 40), "b.jpg"),
    ("box partly outside the image", box(80, 20, 50, 50), "b.jpg"),
    ("box partly outside the image", box(-9, 20, 50, 50), "b.jpg"),
    ("box annotated twice", lambda c: c["annotations"].append(dict(c["annotations"][1], id=9)),
     "9 of b.jpg"),
    ("annotation without an area", without("annotations", "area"), "b.jpg"),
    ("area of 0 or less", lambda c: c["annotations"][1].update(area=-3), "b.jpg"),
    ("box too small for any anchor", box(10, 10, 4, 3), "b.jpg"),
    ("class without an annotation", lambda c: [r.update(category_id=1) for r in c["annotations"]],
     "dog"),
    ("annotation without iscrowd", without("annotations", "iscrowd"), "b.jpg"),
    ("image outside its folder", image(dict(file_name="../b.jpg")), "../b.jpg"),
    ("image not there", image(dict(file_name="e.jpg")), "e.jpg"),
    ("image of another size than written", image(dict(width=200)),
     "b.jpg: 100 x 80, written 200 x 80"),
]  # fmt: skip


@pytest.mark.parametrize("split", ["train", "val"])
def test_faults_in_the_file_are_found_and_named(clean, split):
    paint(clean / "x.png", SIZE, seed=1)
    names = ("x.png", "b.jpg", *(TRAIN[2:] if split == "train" else VAL))
    for problem, plant, name in IN_FILE:
        spoilt = content(names)
        plant(spoilt)
        (clean / f"{split}.json").write_text(json.dumps(spoilt))
        rows = list(found(clean, whole=False))
        assert [row[:2] for row in rows] == [(split, problem)], (problem, rows)
        assert re.search(rf"(^| of |annotation ){re.escape(name)}", rows[0][2]), rows


def rewritten(name, **options):
    """Save the photo b.jpg in another way, under another name."""

    def plant(folder):
        photo = Image.open(folder / "b.jpg")
        photo.load()
        mode = options.get("mode")
        if mode == "I;16":
            photo = Image.fromarray(np.asarray(photo.convert("L")).astype(np.uint16) * 257)
        elif mode:
            photo = photo.convert(mode)
        kept = {key: value for key, value in options.items() if key != "mode"}
        photo.save(folder / name, **kept)
        edited = json.loads((folder / "train.json").read_text())
        edited["images"][1]["file_name"] = name
        (folder / "train.json").write_text(json.dumps(edited))

    return plant


def cut(folder):
    data = (folder / "b.jpg").read_bytes()
    (folder / "b.jpg").write_bytes(data[: len(data) // 2])


def exif(turn):
    tags = Image.Exif()
    tags[0x112] = turn
    return tags


FILES = [
    ("image not there", lambda f: (f / "b.jpg").unlink(), "b.jpg"),
    ("not readable as an image", lambda f: (f / "b.jpg").write_bytes(b""), "b.jpg"),
    ("not readable as an image", lambda f: (f / "b.jpg").write_text("photo"), "b.jpg"),
    ("image of too many pixels", giant("b.jpg"), "b.jpg"),
    ("cut off or broken in the middle", cut, "b.jpg"),
    ("image turned by EXIF", rewritten("n.jpg", exif=exif(3)), "n.jpg"),
    ("image with alpha", rewritten("n.png", mode="RGBA"), "n.png"),
    ("image of 16 bit", rewritten("n.png", mode="I;16"), "n.png"),
    ("image in CMYK", rewritten("n.jpg", mode="CMYK"), "n.jpg"),
    ("photo in train and in val", lambda f: (f / "c.png").write_bytes((f / "w.png").read_bytes()),
     "c.png is w.png"),
    ("photo there twice", lambda f: (f / "d.png").write_bytes((f / "c.png").read_bytes()),
     "d.png is c.png"),
]  # fmt: skip


@pytest.mark.parametrize(("problem", "plant", "name"), FILES)
def test_faults_of_image_files_are_found_and_named(clean, problem, plant, name):
    plant(clean)
    assert found(clean) == {("train", problem, name)}


def test_a_turned_photo_has_the_size_after_the_turn(clean):
    rewritten("n.jpg", exif=exif(6))(clean)
    rows = {(problem, example) for _, problem, example in found(clean)}
    assert ("image of another size than written", "n.jpg: 80 x 100, written 100 x 80") in rows


def test_files_that_are_not_cocos_are_found(clean):
    for text in (
        "{",
        "[]",
        '{"images": []}',
        '{"images": [1], "annotations": [], "categories": []}',
    ):
        (clean / "train.json").write_text(text)
        ((split, problem, example),) = found(clean)
        assert (split, problem) == ("train", "not COCO's json") and "train.json: " in example


def test_classes_that_do_not_fit_are_found_with_the_line_that_mends_it(clean):
    rows = {row[1:] for row in found(clean, classes=("cat", "dgo")) if row[0] == "train"}
    assert rows == {
        ("class of the config that the file lacks", "dgo"),
        ("category that is no class of the config",
         'dog: 2 annotations; to learn it: classes = ["cat", "dgo", "dog"]'),
    }  # fmt: skip


def test_nothing_is_found_in_clean_sets(clean, prepared, tmp_path, capsys):
    assert found(clean) == set()
    for text in (TINY_DETECTOR, TINY_SEGMENTER):
        (tmp_path / "c.py").write_text(text.replace("SAMPLE", str(prepared)))
        splits = check_data(load_config(str(tmp_path / "c.py")))
        # eight images do not show every class
        assert {name for rows in splits.values() for name in rows} <= {
            "class without an annotation"
        }
        assert set(splits) == {"train", "val"}


def test_every_problem_is_planted_by_a_test():
    planted = {row[0] for row in (*IN_FILE, *FILES, *MASKS)}
    more = {"not COCO's json", "class of the config that the file lacks",
            "category that is no class of the config"}  # fmt: skip
    assert planted | more == set(PROBLEMS)
    assert len(IN_FILE) + len(FILES) + len(MASKS) >= 40


def test_the_cleaned_copy_has_nothing_left_that_can_be_repaired(clean):
    spoilt = content((*TRAIN, "gone.jpg", "text.jpg"))
    (clean / "text.jpg").write_text("photo")
    spoilt["images"][2].update(width=7)
    for index, (problem, plant, _) in enumerate(IN_FILE):
        if PROBLEMS[problem].repair and problem.startswith(("box", "annotation", "area")):
            one = content(TRAIN)
            plant(one)
            for row in (one["annotations"][1], *one["annotations"][4:]):
                spoilt["annotations"].append(dict(row, bbox=row.get("bbox"), id=100 + index))
    (clean / "train.json").write_text(json.dumps(spoilt))
    before = copy.deepcopy(spoilt)
    check_data(config(clean), fix=str(clean / "out.json"))
    assert json.loads((clean / "train.json").read_text()).keys() == before.keys()
    left = {problem for _, problem, _ in found(clean, train="out.json")}
    assert not {problem for problem in left if PROBLEMS[problem].repair}
    fixed = json.loads((clean / "out.json").read_text())
    assert [row["file_name"] for row in fixed["images"]] == list(TRAIN)
    assert fixed["images"][2]["width"] == 100
    boxes = [row["bbox"] for row in fixed["annotations"]]
    assert [80, 20, 20, 50] in boxes and [0, 20, 41, 50] in boxes  # cut at the edge


def test_the_tool_prints_a_table_and_whether_training_would_end(clean, capsys):
    text = "_base_ = []\n" + "\n".join(f"{k} = {v!r}" for k, v in config(clean).to_dict().items())
    (clean / "c.py").write_text(text.replace("_base_ = []\n", ""))
    assert tool("check_data")(clean / "c.py") == 0
    assert capsys.readouterr().out.endswith("nothing found\n")
    cut(clean)
    assert tool("check_data")(clean / "c.py", "--short") == 0
    assert tool("check_data")(clean / "c.py", "--fix", clean / "out.json") == 1
    out = capsys.readouterr().out
    assert "      1  train  cut off or broken in the middle\n" in out
    assert "more than survival.max_unreadable (--fix: left out)" in out and "b.jpg" in out
    images = json.loads((clean / "out.json").read_text())["images"]
    assert [row["file_name"] for row in images] == ["a.jpg", "c.png", "d.png"]


def test_an_annotation_file_is_read_once_for_the_check_and_the_training(clean, monkeypatch):
    init_default_scope("mmdet")
    data = config(clean).train_dataloader.dataset
    data.update(data_prefix=dict(img=""), filter_cfg=dict(filter_empty_gt=False), pipeline=[])
    data.data_root = f"{clean}/"
    monkeypatch.setattr(coco, "_handed", {})
    check_data(config(clean), whole=False)
    with monkeypatch.context() as patch:
        patch.setattr("pycocotools.coco.json.load", None)  # cannot be called
        assert len(DATASETS.build(dict(data))) == 4
    assert len(coco._handed) == 1  # nothing stays in memory but the validation's
    check_data(config(clean), whole=False)
    spoilt = content(TRAIN[:3])
    (clean / "train.json").write_text(json.dumps(spoilt))
    os.utime(clean / "train.json", (1, 1))
    assert len(DATASETS.build(dict(data))) == 3  # the file has changed since


def test_three_examples_are_shown():
    from mixnet_dense.data.faults import Findings

    findings = Findings()
    for name in "abcd":
        findings.add("image with alpha", name)
    assert "      4  val    image with alpha\n" in table({"val": findings})
    assert " a; b; c; …\n" in table({"val": findings})


# ------------------------------------------------------------------ label maps


def mask(change):
    """Change the second label map."""

    def plant(folder):
        path = folder / "masks/1.png"
        Image.fromarray(change(np.array(Image.open(path)))).save(path)

    return plant


MASKS = [
    ("label map not there", lambda f: (f / "masks/1.png").unlink(), "masks/1.png"),
    ("label map that cannot be read", lambda f: (f / "masks/1.png").write_text(""), "masks/1.png"),
    ("label map of another size than its image", mask(lambda m: m[:9]), "masks/1.png"),
    ("label map of more than one channel or 8 bits", mask(lambda m: np.stack([m] * 3, 2)),
     "masks/1.png"),
    ("label map with a value that is no class", mask(lambda m: m + 3), "masks/1.png"),
    ("label map without any class", mask(lambda m: m * 0 + 255), "masks/1.png"),
    ("image not there", lambda f: (f / "images/1.jpg").unlink(), "images/1.jpg"),
    ("cut off or broken in the middle", lambda f: (f / "images/1.jpg").write_bytes(
        (f / "images/1.jpg").read_bytes()[:900]), "images/1.jpg"),
    ("photo there twice", lambda f: (f / "images/2.jpg").write_bytes(
        (f / "images/1.jpg").read_bytes()), "images/2.jpg"),
    ("photo in train and in val", lambda f: (f / "images/1.jpg").write_bytes(
        (f / "images/4.jpg").read_bytes()), "images/1.jpg"),
]  # fmt: skip


@pytest.mark.parametrize(("problem", "plant", "name"), MASKS)
def test_faults_of_label_maps_are_found_and_named(tmp_path, problem, plant, name):
    pairs(tmp_path)
    (tmp_path / "train.txt").write_text("0\n1\n2\n3\n")
    (tmp_path / "val.txt").write_text("4\n")
    plant(tmp_path)
    base = load_config(str(ROOT / "configs/lraspp_mobilenetv3_small.py"))
    for split in ("train", "val"):
        base[f"{split}_dataloader"].dataset = dict(
            type="mixnet_dense.MaskDataset", data_root=str(tmp_path), ann_file=f"{split}.txt",
            data_prefix=dict(img_path="images", seg_map_path="masks"), img_suffix=".jpg",
            seg_map_suffix=".png", metainfo=dict(classes=("ground", "road")),
        )  # fmt: skip
    splits = check_data(base)
    rows = [(key, row.example) for key, found in splits["train"].ordered() for row in found]
    assert [key for key, _ in rows] == [problem] and name in rows[0][1]
    assert not splits["val"].ordered()


def test_a_fix_is_for_coco_only(tmp_path, prepared):
    (tmp_path / "c.py").write_text(TINY_SEGMENTER.replace("SAMPLE", str(prepared)))
    with pytest.raises(InputError, match="--fix: the training annotations are not COCO"):
        tool("check_data")(tmp_path / "c.py", "--fix", tmp_path / "out.json")
