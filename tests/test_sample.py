"""The embedded sample: split without leaks, exact annotations, careful with folders."""

import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from mixnet_dense.data import (
    sample,
    sample_coco,
    sample_materials,
    sample_scene,
    sample_sources,
    sample_writer,
)
from mixnet_dense.data.sample import SampleRequest, build_sample
from mixnet_dense.errors import InputError

REPOSITORY = Path(__file__).resolve().parents[1]
TINY = {"train": 3, "val": 2}


@pytest.fixture(scope="module", autouse=True)
def materials():
    """Read the sources once: reading them for every small build would take most of the time."""
    loaded = sample_materials.load_materials()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sample, "load_materials", lambda: loaded)
        yield loaded


@pytest.fixture(scope="module")
def request_built(tmp_path_factory):
    request = SampleRequest(tmp_path_factory.mktemp("built") / "sample", train=24, val=8)
    build_sample(request, stream=io.StringIO())
    return request


@pytest.fixture(scope="module")
def scenes(materials):
    return [
        sample_writer.compose_indexed(materials["train"], 0, "train", index) for index in range(40)
    ]


def read_annotations(request, split):
    return json.loads((request.out / "annotations" / f"instances_{split}2017.json").read_text())


def folder_bytes(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def build_quietly(request, force=False):
    return build_sample(request, force=force, stream=io.StringIO())


def test_all_source_objects_are_in_exactly_one_split(materials):
    train, val = materials["train"], materials["val"]
    assert {coin.source_index for coin in train.coins + val.coins} == set(range(24))
    assert (len(train.coins), len(val.coins)) == (16, 8)
    assert {photo.name for photo in train.photos}.isdisjoint(photo.name for photo in val.photos)
    for name in train.digits:
        indices = [{digit.source_index for digit in part.digits[name]} for part in (train, val)]
        assert indices[0] and indices[1] and indices[0].isdisjoint(indices[1])


def test_written_splits_share_no_source(request_built):
    used = []
    for split in ("train", "val"):
        content = read_annotations(request_built, split)
        sources = {item["background"] for item in content["images"]}
        for annotation in content["annotations"]:
            sources.update(annotation["source"].split(", "))
        used.append(sources)
    assert used[0].isdisjoint(used[1])


def test_every_source_has_a_known_licence_and_is_named_in_the_readme(request_built):
    readme = (request_built.out / "README.md").read_text(encoding="utf-8")
    for source in sample_sources.SOURCES:
        assert source.licence in sample_sources.LICENCE_URLS
        assert f"| {source.package} | {source.file} |" in readme
        assert source.credit in readme
    assert "lfw" not in readme


def test_same_arguments_give_the_same_bytes(tmp_path):
    for name in ("first", "second"):
        build_quietly(SampleRequest(tmp_path / name, seed=3, **TINY))
    assert folder_bytes(tmp_path / "first") == folder_bytes(tmp_path / "second")


def test_another_seed_and_split_give_other_scenes(materials):
    images = [
        sample_writer.compose_indexed(materials["train"], seed, split, 0).image.tobytes()
        for seed, split in ((0, "train"), (1, "train"), (0, "val"))
    ]
    assert len(set(images)) == 3


def test_annotation_files_are_full_coco(request_built):
    for split in ("train", "val"):
        content = read_annotations(request_built, split)
        assert {"info", "licenses", "images", "annotations", "categories"} <= set(content)
        assert len(content["images"]) == getattr(request_built, split)
        names = [(item["id"], item["name"]) for item in content["categories"]]
        assert names == list(enumerate(sample.CLASSES, start=1))
        for record in content["images"]:
            image = cv2.imread(str(request_built.out / f"{split}2017" / record["file_name"]))
            assert image.shape == (record["height"], record["width"], 3)


def test_pycocotools_reads_masks_that_fill_their_boxes(request_built):
    coco = COCO(str(request_built.out / "annotations" / "instances_train2017.json"))
    crowds = [item for item in coco.anns.values() if item["iscrowd"]]
    assert crowds
    for annotation in crowds:
        mask = coco.annToMask(annotation).astype(bool)
        assert sample_coco.mask_box(mask) == annotation["bbox"]
        assert mask.sum() == annotation["area"]
    for annotation in coco.anns.values():
        left, top, width, height = sample_coco.mask_box(coco.annToMask(annotation) > 0)
        expected = annotation["bbox"]
        assert np.abs(np.subtract([left, top, width, height], expected)).max() <= 1
        assert coco.annToMask(annotation).sum() >= 0.95 * annotation["area"]


def test_boxes_are_inside_the_image_and_equal_mask_extents(scenes):
    for scene in scenes:
        height, width = scene.image.shape[:2]
        for scene_object in scene.objects:
            record = sample_coco.annotation_record(1, scene_object)
            left, top, box_width, box_height = record["bbox"]
            assert 0 <= left < left + box_width <= width
            assert 0 <= top < top + box_height <= height
            mask = scene_object.mask.copy()
            window = mask[top : top + box_height, left : left + box_width]
            assert window[0].any() and window[-1].any()
            assert window[:, 0].any() and window[:, -1].any()
            window[:] = False
            assert not mask.any()


def test_every_object_is_visible_enough_and_masks_do_not_overlap(scenes):
    for scene in scenes:
        total = np.zeros(scene.image.shape[:2], int)
        for scene_object in scene.objects:
            assert sample_scene.visible_share(scene_object) >= 0.5
            total += scene_object.mask
        assert total.max(initial=0) <= 1


def test_empty_and_crowd_images_exist(request_built, scenes):
    content = read_annotations(request_built, "val")
    with_objects = {item["image_id"] for item in content["annotations"]}
    assert len(with_objects) < len(content["images"])
    for index, scene in enumerate(scenes):
        crowds = [item for item in scene.objects if item.is_crowd]
        kind = sample_scene.scene_kind(index)
        assert (kind == "empty") == (not scene.objects)
        assert len(crowds) == (kind == "crowd")
        assert all(crowd.source.count(", ") >= 9 for crowd in crowds)


def test_run_lengths_start_with_background():
    mask = np.array([[True, False], [True, True]])
    assert sample_coco.run_lengths(mask) == {"counts": [0, 2, 1, 1], "size": [2, 2]}


def test_a_second_build_does_no_work_and_other_settings_need_force(request_built):
    before = folder_bytes(request_built.out)
    assert build_quietly(request_built) is None
    with pytest.raises(InputError, match="--force") as caught:
        build_quietly(replace(request_built, seed=9))
    assert str(request_built.out) in str(caught.value)
    assert folder_bytes(request_built.out) == before


def test_force_replaces_a_sample(tmp_path):
    request = SampleRequest(tmp_path / "sample", **TINY)
    build_quietly(request)
    (request.out / "val2017" / "000000.jpg").unlink()
    with pytest.raises(InputError, match="damaged"):
        build_quietly(request)
    assert build_quietly(replace(request, seed=1), force=True) is not None
    assert sample.read_stamp(request.out)["seed"] == 1
    assert os.listdir(tmp_path) == ["sample"]


@pytest.mark.parametrize("force", [False, True])
def test_a_foreign_folder_is_refused_and_untouched(tmp_path, force):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    (folder / "sample.json").write_text("{}")
    before = folder_bytes(folder)
    with pytest.raises(InputError, match="mine"):
        build_quietly(SampleRequest(folder, **TINY), force=force)
    assert folder_bytes(folder) == before
    assert os.listdir(tmp_path) == ["mine"]


def test_force_keeps_a_sample_with_a_file_of_the_user(tmp_path):
    request = SampleRequest(tmp_path / "sample", **TINY)
    build_quietly(request)
    (request.out / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"notes\.txt"):
        build_quietly(request, force=True)
    assert (request.out / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_an_interrupted_build_leaves_nothing(tmp_path, monkeypatch, error):
    def stop(path, image):
        raise error

    monkeypatch.setattr(sample_writer, "write_jpeg", stop)
    with pytest.raises((KeyboardInterrupt, InputError)):
        build_quietly(SampleRequest(tmp_path / "sample", **TINY))
    assert os.listdir(tmp_path) == []


def test_an_interrupted_replacement_keeps_the_old_sample(tmp_path, monkeypatch):
    request = SampleRequest(tmp_path / "sample", **TINY)
    build_quietly(request)
    before = folder_bytes(request.out)

    def stop(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(sample, "readme_text", stop)
    with pytest.raises(KeyboardInterrupt):
        build_quietly(replace(request, seed=1), force=True)
    assert folder_bytes(request.out) == before
    assert os.listdir(tmp_path) == ["sample"]


def test_an_unwritable_place_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write .*file"):
        build_quietly(SampleRequest(tmp_path / "file" / "sample", **TINY))


def test_missing_packages_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(InputError, match=r'pip install "mixnet_dense\[sample\]"'):
        sample_sources.package_folders()


@pytest.mark.parametrize("option", ["--train=-3", "--val=0", "--seed=-1"])
def test_a_bad_number_is_one_line_and_exit_code_2(tmp_path, option):
    tool = REPOSITORY / "tools" / "prepare_data.py"
    paths = os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
    result = subprocess.run(
        [sys.executable, str(tool), "sample", "--out", str(tmp_path / "sample"), option],
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": paths}, check=False,
    )  # fmt: skip
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert option.split("=")[0] in result.stderr
    assert os.listdir(tmp_path) == []
