"""The embedded sample: split without leaks, exact annotations, careful with folders."""

import json
import os
import shutil
import sys
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from running import tool

from mixnet_dense.errors import InputError
from mixnet_dense.sample import build, layouts, materials
from mixnet_dense.sample.build import build_sample
from mixnet_dense.sample.materials import cut_coins, load_materials
from mixnet_dense.sample.scene import SceneObject, compose_scene

SPLITS = ("train", "val")


@pytest.fixture(scope="module")
def scenes():
    return [compose_scene(0, "train", index) for index in range(40)]


@pytest.fixture
def copied(sample, tmp_path):
    """A sample that the test may change."""
    return Path(shutil.copytree(sample, tmp_path / "sample"))


def annotations_of(folder, split):
    return json.loads((folder / "annotations" / f"instances_{split}2017.json").read_text())


def folder_bytes(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


# ----------------------------------------------------------- sources and scenes


def test_all_source_objects_are_in_exactly_one_split():
    train, val = (load_materials()[split] for split in SPLITS)
    used = [[name for name, _ in part["photo"]] for part in (train, val)]
    assert sorted(used[0] + used[1]) == sorted(
        source.file.split("/")[-1] for source in materials.SOURCE_FILES if source.use in SPLITS
    )
    coins = [{coin.source for coin in part["coin"]} for part in (train, val)]
    assert coins[1] == {f"coin {index}" for index in range(2, 24, 3)}
    assert coins[0] == {f"coin {index}" for index in range(24)} - coins[1]
    for name in ("zero", "three", "four"):
        # The file has 1797 digits; the first 80 % of them are 1437.
        last, first = int(train[name][-1].source[6:]), int(val[name][0].source[6:])
        assert last < 1437 <= first


def test_coins_are_cut_in_reading_order_without_their_cloth():
    cloth = np.linspace(110, 40, 160).astype(np.uint8)
    scan = np.repeat(cloth[:, None], 180, axis=1)
    for (x, y), radius in (((50, 52), 18), ((120, 36), 22), ((50, 122), 25), ((125, 106), 20)):
        cv2.circle(scan, (x, y), radius, 200, cv2.FILLED)
        cv2.circle(scan, (x, y), radius // 2, 230, cv2.FILLED)
    coins = cut_coins(scan)
    assert [coin.source for coin in coins] == ["coin 0", "coin 1", "coin 2", "coin 3"]
    for coin, radius in zip(coins, (18, 22, 25, 20), strict=True):
        # The outermost pixel is left out.
        assert np.count_nonzero(coin.alpha > 127) == pytest.approx(np.pi * radius**2, rel=0.06)
        assert coin.gray[coin.alpha > 127].max() == 255  # stretched


def test_another_seed_split_and_number_give_other_scenes():
    given = ((0, "train", 0), (1, "train", 0), (0, "val", 0), (0, "train", 1))
    assert len({compose_scene(*numbers).image.tobytes() for numbers in given}) == 4


def test_every_object_is_visible_enough_and_masks_do_not_overlap(scenes):
    for scene in scenes:
        total = np.zeros(scene.image.shape[:2], int)
        for item in scene.objects:
            assert item.mask.sum() >= (0.8 if item.is_crowd else 0.6) * item.full_area
            total += item.mask
        assert total.max(initial=0) <= 1


def test_one_image_of_16_is_empty_and_one_of_20_has_a_heap(scenes):
    for index, scene in enumerate(scenes):
        heaps = [item for item in scene.objects if item.is_crowd]
        assert (not scene.objects) == (index in (5, 21, 37))
        assert len(heaps) == (index in (7, 27))
        assert all(11 <= len(heap.source.split(", ")) < 17 for heap in heaps)


# ------------------------------------------------------------------------ files


@pytest.fixture
def rectangle():
    """Rows 1 to 2 and columns 1 to 3 of an image of 4 x 5 pixels."""
    mask = np.zeros((4, 5), bool)
    mask[1:3, 1:4] = True
    return SceneObject("zero", "digit 8", mask, 6)


def test_record_of_an_object(rectangle):
    assert layouts.annotation_record(7, rectangle) == {
        "image_id": 7,
        "category_id": 2,
        "bbox": [1, 1, 3, 2],
        "area": 6,
        "iscrowd": 0,
        # A quarter of a pixel inside the rectangle's corners (1, 1) and (4, 3).
        "segmentation": [[1.25, 1.25, 1.25, 2.75, 3.75, 2.75, 3.75, 1.25]],
        "source": "digit 8",
    }


def test_record_of_a_heap_has_its_exact_mask(rectangle):
    record = layouts.annotation_record(7, rectangle._replace(is_crowd=True))
    assert record["iscrowd"] == 1
    json.dumps(record)
    assert (coco_mask.decode(record["segmentation"]) == rectangle.mask).all()


def test_annotation_files_are_full_coco(sample):
    for split, count in (("train", 8), ("val", 4)):
        content = annotations_of(sample, split)
        assert set(content) == {"info", "licenses", "images", "annotations", "categories"}
        names = [(row["id"], row["name"]) for row in content["categories"]]
        assert names == [(1, "coin"), (2, "zero"), (3, "three"), (4, "four")]
        assert [row["id"] for row in content["images"]] == list(range(1, count + 1))
        ids = [row["id"] for row in content["annotations"]]
        assert ids == list(range(1, len(ids) + 1))
        for record in content["images"]:
            image = cv2.imread(str(sample / f"{split}2017" / record["file_name"]))
            assert image.shape == (record["height"], record["width"], 3)


def test_pycocotools_reads_masks_that_fill_their_boxes(sample):
    coco = COCO(str(sample / "annotations" / "instances_train2017.json"))
    assert sum(row["iscrowd"] for row in coco.anns.values()) == 1
    for row in coco.anns.values():
        mask = coco.annToMask(row)
        rows, columns = np.nonzero(mask)
        left, top = columns.min(), rows.min()
        box = [left, top, columns.max() + 1 - left, rows.max() + 1 - top]
        tolerance = 0 if row["iscrowd"] else 1  # a polygon is not exact
        assert np.abs(np.subtract(box, row["bbox"])).max() <= tolerance
        assert mask.sum() == row["area"] if row["iscrowd"] else mask.sum() >= 0.95 * row["area"]


def test_written_splits_share_no_source(sample):
    used = []
    for split in SPLITS:
        content = annotations_of(sample, split)
        found = {row["background"] for row in content["images"]}
        used.append(found.union(*(row["source"].split(", ") for row in content["annotations"])))
    assert min(map(len, used)) > 4 and used[0].isdisjoint(used[1])


def test_every_source_has_a_known_licence_and_is_named_in_the_readme(sample):
    readme = (sample / "README.md").read_text(encoding="utf-8")
    for source in materials.SOURCE_FILES:
        assert f"| {source.package} | {source.file} |" in readme
        assert source.credit in readme
        assert f"- {source.licence}: {materials.LICENCE_URLS[source.licence]}\n" in readme


def test_preview_has_a_row_of_four_tiles(sample):
    assert cv2.imread(str(sample / "preview.jpg")).shape == (288, 4 * 352, 3)


@pytest.mark.parametrize("threads", [1, 3])
def test_any_number_of_threads_writes_the_same_bytes(sample, tmp_path, monkeypatch, threads):
    monkeypatch.setattr(os, "cpu_count", lambda: threads)
    build_sample(tmp_path / "again", train=8, val=4)
    assert folder_bytes(tmp_path / "again") == folder_bytes(sample)


# ---------------------------------------------------------------------- folders


def test_a_second_build_does_no_work_and_other_settings_need_force(sample):
    before = folder_bytes(sample)
    assert build_sample(sample, 8, 4) is None
    with pytest.raises(InputError, match=f"{sample} .*other settings; --force"):
        build_sample(sample, 8, 4, seed=9)
    assert folder_bytes(sample) == before


def test_force_replaces_a_sample(copied, tmp_path):
    (copied / "val2017" / "000000.jpg").unlink()
    with pytest.raises(InputError, match="damaged"):
        build_sample(copied, 8, 4)
    smaller = partial(build_sample, copied, train=2, val=1, seed=1)
    counts = smaller(force=True)
    assert (counts["train"]["images"], counts["val"]["images"]) == (2, 1)
    assert len(list(copied.glob("train2017/*.jpg"))) == 2
    assert smaller() is None
    assert os.listdir(tmp_path) == ["sample"]


@pytest.mark.parametrize("force", [False, True])
def test_a_foreign_folder_is_refused_and_untouched(tmp_path, force):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    (folder / "sample.json").write_text("{}")
    before = folder_bytes(folder)
    with pytest.raises(InputError, match="mine is not a sample"):
        build_sample(folder, train=1, val=1, force=force)
    assert folder_bytes(folder) == before
    assert os.listdir(tmp_path) == ["mine"]


def test_force_keeps_a_sample_with_a_file_of_the_user(copied):
    (copied / "notes.txt").write_text("mine")
    before = folder_bytes(copied)
    with pytest.raises(InputError, match=r"notes\.txt"):
        build_sample(copied, 8, 4, force=True)
    assert folder_bytes(copied) == before


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_an_interrupted_build_leaves_nothing(tmp_path, monkeypatch, error):
    def stop(path, image):
        raise error

    monkeypatch.setattr(layouts, "write_picture", stop)
    with pytest.raises((KeyboardInterrupt, InputError), match="|No space left"):
        build_sample(tmp_path / "sample", train=3, val=2)
    assert os.listdir(tmp_path) == []


def test_an_interrupted_replacement_keeps_the_old_sample(copied, tmp_path, monkeypatch):
    before = folder_bytes(copied)

    def stop(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(build, "readme_text", stop)
    with pytest.raises(KeyboardInterrupt):
        build_sample(copied, train=2, val=1, force=True)
    assert folder_bytes(copied) == before
    assert os.listdir(tmp_path) == ["sample"]


# -------------------------------------------------------------------- bad input


def test_an_unwritable_place_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot make the sample .*file"):
        build_sample(tmp_path / "file" / "sample", train=1, val=1)


def test_missing_packages_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage.data", None)
    (coins,) = [source for source in materials.SOURCE_FILES if source.use == "coins"]
    with pytest.raises(InputError, match=r'pip install "mixnet_dense\[sample\]"'):
        materials.source_path(coins)


@pytest.mark.parametrize("option", ["--train=-3", "--val=0", "--seed=-1"])
def test_a_bad_number_is_named(tmp_path, option):
    name, number = option.split("=")
    with pytest.raises(InputError, match=f"^{name} is {number}; give . or more$"):
        tool("prepare_data")("sample", "--out", tmp_path / "sample", option)
    assert os.listdir(tmp_path) == []


def test_the_tool_counts_what_it_wrote(tmp_path, capsys):
    command = ("sample", "--out", tmp_path / "sample", "--train", 2, "--val", 1)
    tool("prepare_data")(*command)
    assert "train: 2 images, 0 images without objects, " in capsys.readouterr().out
    tool("prepare_data")(*command)
    assert "nothing to do" in capsys.readouterr().out
