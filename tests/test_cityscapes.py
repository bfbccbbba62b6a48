"""Cityscapes: preparation, dataset and metric, each with what can be wrong in the files."""

import io
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.fileio import BaseStorageBackend, register_backend
from PIL import Image
from running import ROOT, one_error_line, shell

from mixnet_dense.errors import InputError
from mixnet_dense.sample.build import build_sample
from mixnet_dense.sample.layouts import LABEL_CLASSES, LABEL_IDS
from mixnet_dense.seg import CityscapesDataset, IoUMetric
from mixnet_dense.seg import prepare as cityscapes

PREPARE = ROOT / "tools" / "prepare_data.py"


def write_pair(root, split, name, labels, city="ulm", size=None):
    """An image and its label ids as Cityscapes names them."""
    height, width = size or labels.shape
    for kind, suffix, pixels in (
        ("leftImg8bit", "leftImg8bit", np.full((height, width, 3), 90, np.uint8)),
        ("gtFine", "gtFine_labelIds", labels),
    ):
        place = root / kind / split / city
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(place / f"{city}_{name}_{suffix}.png")
    return place / f"{city}_{name}_gtFine_labelIds.png"


@pytest.fixture
def root(tmp_path):
    """Two training pairs and a validation pair with every label id."""
    ids = np.arange(34, dtype=np.uint8).reshape(2, 17)
    for split, name in (("train", "a"), ("train", "b"), ("val", "c")):
        write_pair(tmp_path / "city", split, name, ids)
    return tmp_path / "city"


def prepared(root):
    return sorted(root.glob("gtFine/*/*/*_gtFine_labelTrainIds.png"))


def quietly(root):
    return cityscapes.prepare(root, stream=io.StringIO())


def test_label_ids_become_the_nineteen_training_ids(root):
    assert quietly(root) == {
        "train": {"written": 2, "there already": 0},
        "val": {"written": 1, "there already": 0},
    }
    # label ids 0 to 33 in order, from the data set's table
    expected = [
        255, 255, 255, 255, 255, 255, 255, 0, 1, 255, 255, 2, 3, 4, 255, 255, 255,
        5, 255, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 255, 255, 16, 17, 18,
    ]  # fmt: skip
    for path in prepared(root):
        assert np.asarray(Image.open(path)).ravel().tolist() == expected


def test_a_second_run_passes_over_what_is_there(root):
    quietly(root)
    before = [path.stat().st_mtime_ns for path in prepared(root)]
    prepared(root)[0].unlink()
    assert quietly(root)["train"] == {"written": 1, "there already": 1}
    assert [path.stat().st_mtime_ns for path in prepared(root)][1:] == before[1:]


def test_newer_labels_are_prepared_again(root):
    quietly(root)
    newer = root / "gtFine/train/ulm/ulm_a_gtFine_labelIds.png"
    os.utime(newer, (newer.stat().st_mtime + 10,) * 2)
    assert quietly(root)["train"] == {"written": 1, "there already": 1}


def spoil_cut_short(root):
    path = root / "gtFine/train/ulm/ulm_a_gtFine_labelIds.png"
    path.write_bytes(path.read_bytes()[:-20])
    return "ulm_a_gtFine_labelIds.png: is not a readable image"


def spoil_no_image(root):
    (root / "leftImg8bit/train/ulm/ulm_a_leftImg8bit.png").write_text("no picture")
    return "ulm_a_leftImg8bit.png: is not a readable image"


def spoil_missing_labels(root):
    (root / "gtFine/train/ulm/ulm_a_gtFine_labelIds.png").unlink()
    return "ulm_a_gtFine_labelIds.png: not there, but ulm_a_leftImg8bit.png is"


def spoil_missing_image(root):
    (root / "leftImg8bit/train/ulm/ulm_a_leftImg8bit.png").unlink()
    return "ulm_a_leftImg8bit.png: not there, but ulm_a_gtFine_labelIds.png is"


def spoil_size(root):
    write_pair(root, "train", "a", np.zeros((4, 6), np.uint8), size=(4, 8))
    return "ulm_a_gtFine_labelIds.png: is 6 x 4, its image is 8 x 4"


def spoil_ids(root):
    write_pair(root, "train", "a", np.array([[0, 34, 200]], np.uint8))
    return r"ulm_a_gtFine_labelIds.png: has the label ids \[34, 200\], allowed are 0 to 33"


def spoil_channels(root):
    write_pair(root, "train", "a", np.zeros((2, 3, 3), np.uint8), size=(2, 3))
    return "ulm_a_gtFine_labelIds.png: is RGB, must be one channel of 8 bits"


@pytest.mark.parametrize(
    "spoil",
    [spoil_cut_short, spoil_no_image, spoil_missing_labels, spoil_missing_image, spoil_size,
     spoil_ids, spoil_channels],
)  # fmt: skip
def test_a_bad_pair_is_named_and_the_others_are_prepared(root, spoil):
    message = spoil(root)
    said = io.StringIO()
    with pytest.raises(InputError, match=rf"1 of 3 pairs are bad, first .*{message}") as error:
        cityscapes.prepare(root, said)
    assert "\n" not in str(error.value)
    assert sum("ulm_a" in line for line in said.getvalue().splitlines()) == 1
    assert [path.name[:5] for path in prepared(root)] == ["ulm_b", "ulm_c"]
    assert not list(root.rglob("*.partial*"))


def test_every_bad_pair_is_named_and_the_exit_code_is_2(root, tmp_path):
    spoil_ids(root)
    write_pair(root, "val", "c", np.array([[77]], np.uint8))
    write_pair(root, "val", "d", np.zeros((2, 2), np.uint8), size=(3, 3))
    found = shell(PREPARE, "cityscapes", root, cwd=tmp_path)
    assert "3 of 4 pairs are bad, first" in one_error_line(found)
    assert "[34, 200]" in found.stderr and "[77]" in found.stderr


def test_an_interrupted_run_leaves_whole_files_only(root, monkeypatch):
    def stop(image, path, **options):
        Path(path).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(Image.Image, "save", stop)
    with pytest.raises(KeyboardInterrupt):
        quietly(root)
    assert prepared(root) == [] and not list(root.rglob("*.partial*"))


def test_missing_folders_say_what_to_unpack(tmp_path):
    (tmp_path / "leftImg8bit" / "train").mkdir(parents=True)
    found = shell(PREPARE, "cityscapes", tmp_path, cwd=tmp_path)
    line = one_error_line(found)
    assert f"{tmp_path}/gtFine/train: not there; unpack" in line and "gtFine_train" in line


# ------------------------------------------------------------------ the sample


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    folder = tmp_path_factory.mktemp("seg") / "sample"
    build_sample(folder, train=24, val=4)
    quietly(folder)
    return folder


def test_sample_labels_are_the_masks_of_its_objects(sample):
    table, _ = cityscapes.train_ids()
    assert [table[label] for label in LABEL_IDS] == [0, 1, 2, 3, 4]
    from pycocotools.coco import COCO

    coco = COCO(str(sample / "annotations" / "instances_train2017.json"))
    for index, image_id in enumerate(coco.imgs):
        stem = f"train/sample/sample_{index:06d}_000000"
        labels = np.asarray(Image.open(sample / f"gtFine/{stem}_gtFine_labelTrainIds.png"))
        areas = [0] * len(LABEL_CLASSES)
        for row in coco.imgToAnns[image_id]:
            areas[row["category_id"]] += row["area"]
        assert np.bincount(labels.ravel(), minlength=5).tolist()[1:] == areas[1:]
        image = cv2.imread(str(sample / f"leftImg8bit/{stem}_leftImg8bit.png"))
        same = cv2.imread(str(sample / f"train2017/{index:06d}.jpg"))
        assert np.abs(image.astype(int) - same).mean() < 8  # JPEG


# --------------------------------------------------------------------- dataset


def dataset(root, split="train", **options):
    prefix = dict(img_path=f"leftImg8bit/{split}", seg_map_path=f"gtFine/{split}")
    return CityscapesDataset(data_root=str(root), data_prefix=prefix, **options)


def test_dataset_reads_what_the_preparation_wrote(root):
    quietly(root)
    found = dataset(root)
    assert len(found) == 2 and len(found.metainfo["classes"]) == 19
    assert found.get_data_info(0)["label_map"] is None


def test_dataset_takes_classes_of_any_name(sample):
    found = dataset(sample, metainfo=dict(classes=LABEL_CLASSES, palette=[[0, 0, 0]] * 5))
    assert found.metainfo["classes"] == LABEL_CLASSES and found.metainfo["palette"][4] == [0, 0, 0]
    assert len(dataset(sample, metainfo=dict(classes=LABEL_CLASSES)).metainfo["palette"]) == 5


def test_dataset_picks_some_of_cityscapes_classes(root):
    quietly(root)
    found = dataset(root, metainfo=dict(classes=("car", "road")))
    assert found.label_map[13] == 0 and found.label_map[0] == 1 and found.label_map[1] == 255
    assert found.metainfo["palette"] == [[0, 0, 142], [128, 64, 128]]


def test_a_value_that_is_no_class_is_named(sample, root):
    quietly(root)
    with pytest.raises(
        InputError,
        match=r"ulm_a_.*Ids.png: has the label ids \[5, 6, 7.*allowed are 0 to 4 and 255",
    ):
        dataset(root, metainfo=dict(classes=LABEL_CLASSES))
    suffix = dict(seg_map_suffix="_gtFine_labelIds.png")
    with pytest.raises(InputError, match=r"\[19, 20.*, allowed are 0 to 18 and 255"):
        dataset(root, **suffix)
    assert len(dataset(root, check_labels=False, **suffix)) == 2


def test_images_without_label_maps_say_what_to_run(root):
    with pytest.raises(InputError, match="2 of 2 images have no label map, .*prepare_data.py"):
        dataset(root)
    quietly(root)
    with pytest.raises(InputError, match="no .*nowhere.png there"):
        dataset(root, img_suffix="nowhere.png")


class Bucket(BaseStorageBackend):
    """A storage that is not the disk of this machine."""

    def get(self, path):
        raise NotImplementedError

    get_text = get

    def list_dir_or_file(self, *arguments):
        yield "ulm/ulm_a_leftImg8bit.png"


def test_label_maps_of_another_storage_are_not_looked_for_on_the_disk(tmp_path):
    register_backend("bucket", Bucket, force=True, prefixes="bucket")
    assert len(dataset(tmp_path, backend_args=dict(backend="bucket"))) == 1
    prefix = {name: "bucket://train" for name in ("img_path", "seg_map_path")}
    assert len(CityscapesDataset(data_prefix=prefix)) == 1


def test_label_maps_of_another_size_are_named(root):
    quietly(root)
    Image.fromarray(np.zeros((3, 3), np.uint8)).save(prepared(root)[0])
    with pytest.raises(InputError, match="ulm_a_.*TrainIds.png: is 3 x 3, its image is 17 x 2"):
        dataset(root)
    prepared(root)[0].write_text("no picture")
    with pytest.raises(InputError, match="ulm_a_.*TrainIds.png: is not a readable image"):
        dataset(root)


# ---------------------------------------------------------------------- metric


def test_metric_worked_by_hand():
    metric = IoUMetric()
    metric.dataset_meta = dict(classes=("a", "b", "c"))
    truth = torch.tensor([[0, 0, 1, 1], [0, 0, 1, 255]])
    found = torch.tensor([[0, 1, 1, 1], [0, 0, 0, 2]])
    data = dict(pred_sem_seg=dict(data=found[None]), gt_sem_seg=dict(data=truth[None]))
    metric.process({}, [data])
    values = metric.evaluate(1)
    # a: 3 of 5 pixels, b: 2 of 4; c is nowhere but where it is ignored
    assert values["IoU.a"] == 60 and values["IoU.b"] == 50
    assert np.isnan(values["IoU.c"])
    assert values["mIoU"] == 55
    assert values["aAcc"] == pytest.approx(500 / 7, abs=0.01)
    assert values["mAcc"] == pytest.approx((75 + 200 / 3) / 2, abs=0.01)
