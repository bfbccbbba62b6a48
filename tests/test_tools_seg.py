"""The tools with a segmenter, on a sample of a few images in Cityscapes' layout."""

import io
import json
import zipfile

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmseg.datasets import CityscapesDataset
from PIL import Image
from running import ROOT, one_error_line, shell, tool

from mixnet_dense.engine import draw_masks as masks
from mixnet_dense.errors import InputError
from mixnet_dense.sample.build import SampleRequest, build_sample
from mixnet_dense.seg import prepare as cityscapes

CONFIG = f'''
_base_ = "{ROOT}/configs/lraspp_mobilenetv3_small_sample.py"
data = dict(data_root="SAMPLE/")
crop_size, train_pipeline = (64, 64), _base_.train_pipeline
train_pipeline[3]["crop_size"] = crop_size
model = dict(
    data_preprocessor=dict(size=crop_size),
    backbone=dict(width=0.35),
    decode_head=dict(in_channels=(32, 104), channels=16),
)
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(pipeline=train_pipeline, **data),
)
val_dataloader = dict(num_workers=0, persistent_workers=False, dataset=data)
test_dataloader = val_dataloader
train_cfg = dict(max_epochs=2, val_interval=2)
slide_test_cfg = dict(mode="slide", crop_size=(128, 96), stride=(80, 64))
'''


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a prepared sample of 8 + 4 images, a config and two epochs of training."""
    folder = tmp_path_factory.mktemp("tools_seg")
    build_sample(SampleRequest(folder / "sample", train=8, val=4), stream=io.StringIO())
    cityscapes.prepare(folder / "sample", io.StringIO())
    (folder / "tiny.py").write_text(CONFIG.replace("SAMPLE", str(folder / "sample")))
    tool("train")(folder / "tiny.py", "--work-dir", folder / "work")
    return folder


def test_training_saves_the_best_and_class_names(folder):
    assert list((folder / "work").glob("best_mIoU_epoch_2.pth"))
    checkpoint = torch.load(folder / "work" / "epoch_2.pth", weights_only=False)
    classes = ("background", "coin", "zero", "three", "four")
    assert tuple(checkpoint["meta"]["dataset_meta"]["classes"]) == classes


@pytest.mark.parametrize("flags", [(), ("--slide",), ("--tta",), ("--tta", "--slide")])
def test_evaluation_has_every_classs_iou(folder, tmp_path, flags):
    arguments = ("--work-dir", tmp_path, "--out", tmp_path / "metrics.json", *flags)
    tool("test")(folder / "tiny.py", folder / "work", *arguments, "--report", tmp_path / "report")
    metrics = json.loads((tmp_path / "metrics.json").read_text())["metrics"]
    classes = {f"IoU.{name}" for name in ("background", "coin", "zero", "three", "four")}
    assert set(metrics) == {"aAcc", "mIoU", "mAcc"} | classes
    known = [metrics[name] for name in classes if metrics[name] is not None]
    assert metrics["mIoU"] == pytest.approx(sum(known) / len(known), abs=0.02)
    pictures = sorted(path.name for path in (tmp_path / "report").glob("*.png"))
    assert pictures == [f"sample_{i:06d}_000000_leftImg8bit.png" for i in range(4)]


def test_flags_change_what_is_tested(folder):
    from mixnet_dense.engine import variants

    config = Config.fromfile(folder / "tiny.py")
    assert variants.with_windows(config).model.test_cfg.mode == "slide"
    assert config.model.test_cfg.mode == "whole"
    augmented = variants.with_augmentation(config)
    assert augmented.model.type == "SegTTAModel"
    assert augmented.model.module.type == config.model.type == "EncoderDecoder"
    with pytest.raises(InputError, match="--tta: the config has no tta_model"):
        variants.with_augmentation(Config.fromfile(ROOT / "configs/ssdlite_mixnet.py"))


def test_prediction_draws_masks_with_a_legend(folder, tmp_path):
    image = folder / "sample/val2017/000000.jpg"
    tool("predict")(folder / "tiny.py", folder / "work", image, "--out", tmp_path / "found")
    (row,) = json.loads((tmp_path / "found" / "predictions.json").read_text())
    before = cv2.imread(str(image))
    drawn = cv2.imread(str(tmp_path / "found" / row["picture"]))
    assert drawn.shape[1] == before.shape[1] and drawn.shape[0] >= before.shape[0] + 20
    mask = Image.open(tmp_path / "found" / row["mask"])
    labels = np.asarray(mask)
    assert mask.mode == "P" and labels.shape == before.shape[:2]
    palette = Config.fromfile(folder / "tiny.py").palette
    assert mask.getpalette()[:15] == [value for color in palette for value in color]
    classes = ("background", "coin", "zero", "three", "four")
    shares = {classes[i]: np.mean(labels == i).round(5) for i in np.unique(labels)}
    assert row["shares"] == pytest.approx(shares)


def test_overlay_worked_by_hand():
    image = np.full((1, 3, 3), 100, np.uint8)
    palette = np.array([[0, 0, 200], [200, 0, 0]], np.uint8)  # red first
    drawn = masks.overlay(image, np.array([[0, 1, 255]], np.uint8), palette)
    # 0.45 of the image and 0.55 of the colour, blue first; no class, no paint
    assert drawn.tolist() == [[[155, 45, 45], [45, 45, 155], [100, 100, 100]]]


def test_legend_names_what_is_there_and_wraps():
    palette = np.array([[9, 9, 9], [200, 0, 0], [0, 200, 0]], np.uint8)
    image = np.zeros((10, 70, 3), np.uint8)
    labels = np.zeros((10, 70), np.uint8)
    one = masks.draw_maps(image, {"predicted": labels}, ("sky", "car", "person"), palette)
    labels[0, 0], labels[0, 1] = 2, 255
    two = masks.draw_maps(image, {"predicted": labels}, ("sky", "car", "person"), palette)
    assert one.shape[0] == 10 + 20 and two.shape[0] == 10 + 2 * 20
    colors = {tuple(color) for color in two[10:].reshape(-1, 3).tolist()}
    assert (0, 200, 0) in colors and (0, 0, 200) not in colors


# ------------------------------------------------------------------- bad input


def test_a_label_that_is_no_class_stops_before_the_first_iteration(folder, tmp_path):
    build_sample(SampleRequest(tmp_path / "sample", train=4, val=4), stream=io.StringIO())
    cityscapes.prepare(tmp_path / "sample", io.StringIO())
    name = "sample_000002_000000_gtFine_labelTrainIds.png"
    path = tmp_path / "sample/gtFine/train/sample" / name
    labels = np.asarray(Image.open(path)).copy()
    labels[0, 0] = 7
    Image.fromarray(labels).save(path)
    (tmp_path / "tiny.py").write_text(CONFIG.replace("SAMPLE", str(tmp_path / "sample")))
    command = (ROOT / "tools/train.py", tmp_path / "tiny.py", "--work-dir", tmp_path / "work")
    found = shell(*command, cwd=tmp_path)
    line = one_error_line(found)
    assert name in line and "has the label ids [7], allowed are 0 to 4 and 255" in line
    assert "Epoch(train)" not in found.stdout and not list(tmp_path.rglob("*.pth"))


def test_missing_cityscapes_is_one_line_and_exit_code_2(tmp_path):
    command = (ROOT / "tools/train.py", ROOT / "configs/lraspp_mobilenetv3_small.py")
    line = one_error_line(shell(*command, cwd=tmp_path))
    assert "data/cityscapes/leftImg8bit/train: not there" in line and "make demo-seg" in line
    assert list(tmp_path.iterdir()) == []


def test_fewer_images_than_a_batch_are_named(folder, tmp_path):
    options = ("--cfg-options", "train_dataloader.batch_size=9")
    with pytest.raises(InputError, match="8 images are fewer than a batch of 9"):
        tool("train")(folder / "tiny.py", "--work-dir", tmp_path, *options)


def test_head_with_other_classes_than_the_data_is_named(folder, tmp_path):
    options = ("--cfg-options", "model.decode_head.num_classes=4")
    with pytest.raises(InputError, match="dataset has 5 classes, the head num_classes=4"):
        tool("train")(folder / "tiny.py", "--work-dir", tmp_path, *options)


# --------------------------------------------------------- Cityscapes' test server


@pytest.fixture(scope="module")
def nineteen(folder):
    """The sample as if its classes were Cityscapes', a test split, and an untrained model."""
    text = CONFIG.replace("SAMPLE", str(folder / "sample"))
    (folder / "nineteen.py").write_text(
        text.replace("in_channels=(32, 104)", "in_channels=(32, 104), num_classes=19")
        + "submission_data_prefix = dict(img_path='leftImg8bit/val')\n"
    )
    config = Config.fromfile(folder / "nineteen.py")
    for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
        loader.dataset.pop("metainfo")
    config.dump(folder / "nineteen.py")
    from mmengine.registry import init_default_scope

    from mixnet_dense.registry import MODELS

    init_default_scope("mmseg")
    torch.manual_seed(0)
    state = MODELS.build(config.model).state_dict()
    meta = dict(dataset_meta=dict(CityscapesDataset.METAINFO))
    torch.save(dict(state_dict=state, meta=meta), folder / "nineteen.pth")
    return folder


@pytest.mark.parametrize("flags", [(), ("--tta",)])
def test_submission_has_label_ids_of_every_image(nineteen, tmp_path, flags):
    arguments = (nineteen / "nineteen.py", nineteen / "nineteen.pth", "--work-dir", tmp_path)
    tool("test")(*arguments, "--submission", tmp_path / "sent", *flags)
    names = sorted(path.name for path in (tmp_path / "sent").iterdir())
    assert names == [f"sample_{i:06d}_000000_leftImg8bit.png" for i in range(4)]
    with zipfile.ZipFile(tmp_path / "sent.zip") as zipped:
        assert sorted(zipped.namelist()) == names
    ids = np.array([7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33])
    images = nineteen / "sample/leftImg8bit/val/sample"
    tool("predict")(*arguments[:2], images, "--out", tmp_path / "found")
    for path in (tmp_path / "sent").iterdir():
        found = np.asarray(Image.open(tmp_path / "found/masks" / path.name))
        same = np.mean(np.asarray(Image.open(path)) == ids[found])
        assert same == 1 if not flags else same > 0.2
    with pytest.raises(InputError, match="sent is there already"):
        tool("test")(*arguments, "--submission", tmp_path / "sent")


def test_submission_of_other_classes_leaves_nothing(folder, tmp_path):
    (tmp_path / "out").mkdir()
    option = "submission_data_prefix.img_path=leftImg8bit/val"
    arguments = ("--work-dir", tmp_path / "work", "--cfg-options", option)
    with pytest.raises(InputError, match="not Cityscapes' 19"):
        command = (folder / "tiny.py", folder / "work", "--submission", tmp_path / "out" / "sent")
        tool("test")(*command, *arguments)
    assert list((tmp_path / "out").iterdir()) == []
    with pytest.raises(InputError, match="leave out --out"):
        tool("test")(folder / "tiny.py", "x", "--submission", "d", "--out", "m.json")


def test_comparison_with_mmseg_runs(folder, tmp_path, capsys):
    options = ("--cfg-options", "train_dataloader.num_workers=0")
    command = ("--config", folder / "tiny.py", "--iterations", 1, "--batch", 1, "--size", 385)
    options = (*options, "--work-dir", tmp_path / "work")
    tool("compare_mmseg")(*command, "--out", tmp_path / "rows.json", *options)
    ours, theirs = json.loads((tmp_path / "rows.json").read_text())["models"]
    assert (ours["name"], theirs["name"]) == ("mixnet_dense", "mmseg")
    # mmseg's network, with 5 classes, whatever ours is
    assert theirs["params"] == 1138981 and theirs["step_ms"] > 0 and ours["params"] < 100_000
    assert "| mIoU |" in capsys.readouterr().out
    with pytest.raises(InputError, match="--size 385"):
        tool("compare_mmseg")("--size", 100)
