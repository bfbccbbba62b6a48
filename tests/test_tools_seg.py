"""The tools with a segmenter, on a sample of a few images in Cityscapes' layout."""

import json
import shutil
import zipfile

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.datasets import CityscapesDataset
from PIL import Image
from running import ROOT, TINY_SEGMENTER, tool

from mixnet_dense.engine import variants
from mixnet_dense.engine.config import load_config, open_model
from mixnet_dense.engine.evaluate import evaluate
from mixnet_dense.engine.predict import predict
from mixnet_dense.errors import InputError
from mixnet_dense.registry import MODELS
from mixnet_dense.report.collect import Collector


def test_training_saves_the_best_and_class_names(segmenter):
    assert list((segmenter / "work").glob("best_mIoU_epoch_2.pth"))
    checkpoint = torch.load(segmenter / "work" / "epoch_2.pth", weights_only=False)
    classes = ("background", "coin", "zero", "three", "four")
    assert tuple(checkpoint["meta"]["dataset_meta"]["classes"]) == classes


@pytest.mark.parametrize("flags", [(), ("--tta", "--slide")])
def test_evaluation_has_every_classs_iou(segmenter, tmp_path, flags):
    arguments = ("--work-dir", tmp_path, "--out", tmp_path / "metrics.json", *flags)
    command = (segmenter / "segmenter.py", segmenter / "work", *arguments)
    tool("test")(*command, "--report", tmp_path / "report")
    metrics = json.loads((tmp_path / "metrics.json").read_text())["metrics"]
    classes = {f"IoU.{name}" for name in ("background", "coin", "zero", "three", "four")}
    assert set(metrics) == {"aAcc", "mIoU", "mAcc"} | classes
    known = [metrics[name] for name in classes if metrics[name] is not None]
    assert metrics["mIoU"] == pytest.approx(sum(known) / len(known), abs=0.02)
    rows = json.loads((tmp_path / "report" / "predictions.json").read_text())
    assert [row["mask"] for row in rows] == [
        f"masks/sample_{i:06d}_000000_leftImg8bit.png" for i in range(4)
    ]
    for row in rows:
        before, found = cv2.imread(row["file_name"]), Image.open(tmp_path / "report" / row["mask"])
        assert np.asarray(found).shape == before.shape[:2]
    assert "Least wrong" in (tmp_path / "report/index.html").read_text()


def test_flags_change_what_is_tested(segmenter):
    config = load_config(str(segmenter / "segmenter.py"))
    before = config.to_dict()
    assert variants.with_windows(config).model.test_cfg.mode == "slide"
    model = open_model(config, str(segmenter / "work"))
    augmented, wrapper = variants.with_augmentation(config, model)
    assert wrapper.module is model and type(wrapper).__name__ == "SegTTAModel"
    assert augmented.test_dataloader.dataset.pipeline[1].type == "TestTimeAug"
    assert config.to_dict() == before
    with pytest.raises(InputError, match="--tta: the config has no tta_model"):
        variants.with_augmentation(Config.fromfile(ROOT / "configs/ssdlite_mixnet.py"), model)


def test_a_report_computes_each_image_once(segmenter, sample, tmp_path):
    config = load_config(str(segmenter / "segmenter.py"))
    model, seen = open_model(config, str(segmenter / "work")), []
    model.backbone.register_forward_hook(lambda _module, images, _taps: seen.append(len(images[0])))
    before = config.to_dict()
    hooks = [Collector(tmp_path / "report")]
    evaluate(config, model, folder=str(tmp_path), hooks=hooks)
    assert seen == [1, 1, 1, 1] and config.to_dict() == before
    predict(config, model, [sample / "val2017/000000.jpg"], str(tmp_path / "out"))
    assert sum(seen) == 5 and config.to_dict() == before


def test_prediction_draws_masks(segmenter, sample, tmp_path):
    image = sample / "val2017/000000.jpg"
    tool("predict")(
        segmenter / "segmenter.py", segmenter / "work", image, "--out", tmp_path / "found"
    )
    (row,) = json.loads((tmp_path / "found" / "predictions.json").read_text())
    before = cv2.imread(str(image))
    drawn = cv2.imread(str(tmp_path / "found" / row["picture"]))
    assert drawn.shape == before.shape and not np.array_equal(drawn, before)
    mask = Image.open(tmp_path / "found" / row["mask"])
    labels = np.asarray(mask)
    assert mask.mode == "P" and labels.shape == before.shape[:2]
    palette = Config.fromfile(segmenter / "segmenter.py").palette
    assert mask.getpalette()[:15] == [value for color in palette for value in color]
    classes = ("background", "coin", "zero", "three", "four")
    shares = {classes[i]: np.mean(labels == i).round(5) for i in np.unique(labels)}
    assert row["shares"] == pytest.approx(shares)


# ------------------------------------------------------------------- bad input


def test_a_label_that_is_no_class_stops_before_the_first_iteration(prepared, tmp_path):
    shutil.copytree(prepared, tmp_path / "sample")
    name = "sample_000002_000000_gtFine_labelTrainIds.png"
    path = tmp_path / "sample/gtFine/train/sample" / name
    labels = np.asarray(Image.open(path)).copy()
    labels[0, 0] = 7
    Image.fromarray(labels).save(path)
    (tmp_path / "tiny.py").write_text(TINY_SEGMENTER.replace("SAMPLE", str(tmp_path / "sample")))
    message = rf"{name}.* has the label ids \[7\], allowed are 0 to 4 and 255"
    with pytest.raises(InputError, match=message):
        tool("train")(tmp_path / "tiny.py", "--work-dir", tmp_path / "work")
    assert not list(tmp_path.rglob("*.pth"))


def test_missing_cityscapes_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="leftImg8bit/train: not there.*make demo-seg"):
        tool("train")(ROOT / "configs/lraspp_mobilenetv3_small.py")
    assert list(tmp_path.iterdir()) == []


def test_fewer_images_than_a_batch_are_named(segmenter, tmp_path):
    options = ("--cfg-options", "train_dataloader.batch_size=9")
    with pytest.raises(InputError, match="8 images are fewer than a batch of 9"):
        tool("train")(segmenter / "segmenter.py", "--work-dir", tmp_path, *options)


def test_head_with_other_classes_than_the_data_is_named(segmenter, tmp_path):
    options = ("--cfg-options", "model.decode_head.num_classes=4")
    with pytest.raises(InputError, match="dataset has 5 classes, the head num_classes=4"):
        tool("train")(segmenter / "segmenter.py", "--work-dir", tmp_path, *options)


# --------------------------------------------------------- Cityscapes' test server


@pytest.fixture(scope="module")
def nineteen(prepared, tmp_path_factory):
    """The sample as if its classes were Cityscapes', a test split, and an untrained model."""
    folder = tmp_path_factory.mktemp("nineteen")
    text = TINY_SEGMENTER.replace("SAMPLE", str(prepared))
    (folder / "nineteen.py").write_text(
        text.replace("in_channels=(32, 104)", "in_channels=(32, 104), num_classes=19")
        + "submission_data_prefix = dict(img_path='leftImg8bit/val')\n"
    )
    config = Config.fromfile(folder / "nineteen.py")
    for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
        loader.dataset.pop("metainfo")
    config.dump(folder / "nineteen.py")
    init_default_scope("mmseg")
    torch.manual_seed(0)
    state = MODELS.build(config.model).state_dict()
    meta = dict(dataset_meta=dict(CityscapesDataset.METAINFO))
    torch.save(dict(state_dict=state, meta=meta), folder / "nineteen.pth")
    return folder


@pytest.mark.parametrize("flags", [(), ("--tta",)])
def test_submission_has_label_ids_of_every_image(nineteen, sample, tmp_path, flags):
    arguments = (nineteen / "nineteen.py", nineteen / "nineteen.pth", "--work-dir", tmp_path)
    tool("test")(*arguments, "--submission", tmp_path / "sent", *flags)
    names = sorted(path.name for path in (tmp_path / "sent").iterdir())
    assert names == [f"sample_{i:06d}_000000_leftImg8bit.png" for i in range(4)]
    with zipfile.ZipFile(tmp_path / "sent.zip") as zipped:
        assert sorted(zipped.namelist()) == names
    ids = np.array([7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33])
    images = sample / "leftImg8bit/val/sample"
    tool("predict")(*arguments[:2], images, "--out", tmp_path / "found")
    for path in (tmp_path / "sent").iterdir():
        found = np.asarray(Image.open(tmp_path / "found/masks" / path.name))
        same = np.mean(np.asarray(Image.open(path)) == ids[found])
        assert same == 1 if not flags else same > 0.2
    with pytest.raises(InputError, match="sent is there already"):
        tool("test")(*arguments, "--submission", tmp_path / "sent")


def test_submission_of_other_classes_leaves_nothing(segmenter, tmp_path):
    (tmp_path / "out").mkdir()
    option = "submission_data_prefix.img_path=leftImg8bit/val"
    arguments = ("--work-dir", tmp_path / "work", "--cfg-options", option)
    with pytest.raises(InputError, match="not Cityscapes' 19"):
        command = (
            segmenter / "segmenter.py",
            segmenter / "work",
            "--submission",
            tmp_path / "out" / "sent",
        )
        tool("test")(*command, *arguments)
    assert list((tmp_path / "out").iterdir()) == []
    with pytest.raises(InputError, match="leave out --out"):
        tool("test")(segmenter / "segmenter.py", "x", "--submission", "d", "--out", "m.json")


def test_mmsegs_head_goes_through_the_same_tools(prepared, tmp_path, capsys):
    config, work = ROOT / "configs" / "comparison" / "lraspp_of_mmseg.py", tmp_path / "work"
    loaders = ("train_dataloader", "test_dataloader")
    options = [f"{loader}.dataset.data_root={prepared}/" for loader in loaders]
    for loader in loaders:
        options += [f"{loader}.num_workers=0", f"{loader}.persistent_workers=False"]
    options += ["train_dataloader.batch_size=1", "train_cfg.max_iters=1"]
    tool("train")(config, "--work-dir", work, "--cfg-options", *options)
    out = ("--work-dir", work, "--out", tmp_path / "metrics.json")
    tool("test")(config, work, *out, "--cfg-options", *options)
    assert "mIoU" in json.loads((tmp_path / "metrics.json").read_text())["metrics"]
    capsys.readouterr()
    tool("complexity")(config, config.with_name("lraspp.py"), "--json")
    theirs, ours = json.loads(capsys.readouterr().out)
    # mmseg's network and ours with 5 classes, as docs/segmentation.md has them
    assert (theirs["params"], theirs["macs"]) == (1138981, 33135378184)
    assert (ours["params"], ours["macs"]) == (465778, 2679826288)
    tool("benchmark")(config, "--mode", "train", "--size", 385, "--repeats", 1, "--json")
    assert all(row["median_ms"] > 0 for row in json.loads(capsys.readouterr().out)["rows"])
