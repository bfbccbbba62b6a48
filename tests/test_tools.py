"""Every tool's main, on a sample of a few images, and what it says to bad input."""

import functools
import io
import json
import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from running import ROOT, shell, tool

from mixnet_dense.engine.compiling import compile_backbone
from mixnet_dense.errors import InputError
from mixnet_dense.sample.build import SampleRequest, build_sample
from mixnet_dense.weights.load import latest_checkpoint

CONFIG = f'''
_base_ = "{ROOT}/configs/ssdlite_mixnet_sample.py"
data = dict(data_root="SAMPLE/")
model = dict(
    backbone=dict(width=0.35),
    neck=dict(in_channels=(240, 1536), extra_channels=(32, 32, 32, 32)),
    bbox_head=dict(in_channels=(240, 1536, 32, 32, 32, 32)),
)
train_dataloader = dict(batch_size=4, num_workers=0, persistent_workers=False, dataset=data)
val_dataloader = dict(batch_size=2, num_workers=0, persistent_workers=False, dataset=data)
test_dataloader = val_dataloader
val_evaluator = test_evaluator = dict(ann_file="SAMPLE/annotations/instances_val2017.json")
train_cfg = dict(max_epochs=2, val_interval=2)
'''


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a sample of 8 + 4 images, a config for it and two epochs of training."""
    folder = tmp_path_factory.mktemp("tools")
    build_sample(SampleRequest(folder / "sample", train=8, val=4), stream=io.StringIO())
    (folder / "tiny.py").write_text(CONFIG.replace("SAMPLE", str(folder / "sample")))
    tool("train")(folder / "tiny.py", "--work-dir", folder / "work")
    return folder


def test_training_leaves_checkpoints_with_class_names(folder):
    checkpoint = torch.load(folder / "work" / "epoch_2.pth", weights_only=False)
    assert checkpoint["meta"]["dataset_meta"]["classes"] == ("coin", "zero", "three", "four")
    assert checkpoint["meta"]["epoch"] == 2


def test_evaluation_writes_metrics_by_mms_names(folder, tmp_path):
    arguments = ("--work-dir", tmp_path, "--out", tmp_path / "metrics.json")
    tool("test")(folder / "tiny.py", folder / "work", *arguments, "--report", tmp_path / "report")
    metrics = json.loads((tmp_path / "metrics.json").read_text())["metrics"]
    assert {"coco/bbox_mAP", "coco/bbox_mAP_50"} <= set(metrics)
    assert all(-1 <= value <= 1 for value in metrics.values())
    found = sorted(path.name for path in (tmp_path / "report").iterdir())
    assert found == [*(f"{i:06d}.jpg" for i in range(4)), "metrics.json", "predictions.json"]


def test_prediction_takes_files_folders_and_globs(folder, tmp_path):
    images = folder / "sample" / "val2017"
    arguments = (folder / "tiny.py", folder / "work" / "epoch_2.pth")
    given = (images / "000000.jpg", images, f"{images}/00000[12].jpg")
    tool("predict")(*arguments, *given, "--out", tmp_path / "found")
    rows = json.loads((tmp_path / "found" / "predictions.json").read_text())
    assert {row["image_id"] for row in rows} <= {0, 1, 2, 3}
    assert {row["category_id"] for row in rows} <= {1, 2, 3, 4}
    assert all(len(row["bbox"]) == 4 and 0 <= row["score"] <= 1 for row in rows)
    assert len(list((tmp_path / "found").glob("*.jpg"))) == 4


def test_prediction_never_replaces_an_image(folder, tmp_path):
    image = tmp_path / "photo.jpg"
    image.write_bytes((folder / "sample" / "val2017" / "000000.jpg").read_bytes())
    before = image.read_bytes()
    with pytest.raises(InputError, match="would replace the image .*photo.jpg"):
        tool("predict")(folder / "tiny.py", folder / "work", image, "--out", tmp_path)
    assert image.read_bytes() == before


def test_images_of_one_name_have_pictures_of_two(folder, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        source = folder / "sample" / "val2017" / "000000.jpg"
        (tmp_path / name / "x.jpg").write_bytes(source.read_bytes())
    given = (tmp_path / "a", tmp_path / "b")
    tool("predict")(folder / "tiny.py", folder / "work", *given, "--out", tmp_path / "found")
    assert sorted(p.name for p in (tmp_path / "found").glob("*.jpg")) == ["x.jpg", "x_2.jpg"]


def test_prediction_names_what_it_cannot_read_and_keeps_the_rest(folder, tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    good = (folder / "sample" / "val2017" / "000000.jpg").read_bytes()
    (images / "good.jpg").write_bytes(good)
    (images / "bad.jpg").write_text("no picture")
    (images / "empty.jpg").write_bytes(b"")
    with pytest.raises(InputError, match="2 of 3 not readable: .*bad.jpg.*empty.jpg"):
        tool("predict")(folder / "tiny.py", folder / "work", images, "--out", tmp_path / "found")
    names = sorted(path.name for path in (tmp_path / "found").iterdir())
    assert names == ["good.jpg", "predictions.json"]


def test_resume_passes_over_a_half_written_checkpoint(folder, tmp_path, caplog):
    work = tmp_path / "work"
    work.mkdir()
    whole = (folder / "work" / "epoch_1.pth").read_bytes()
    (work / "epoch_1.pth").write_bytes(whole)
    (work / "epoch_2.pth").write_bytes(whole[: len(whole) // 2])
    (work / "last_checkpoint").write_text(str(work / "epoch_2.pth"))
    assert latest_checkpoint(str(work)) == str(work / "epoch_1.pth")
    tool("train")(folder / "tiny.py", "--work-dir", work, "--resume")
    resumed = torch.load(work / "epoch_2.pth", weights_only=False)
    assert resumed["meta"]["epoch"] == 2 and resumed["meta"]["iter"] == 4


def test_amp_trains(folder, tmp_path):
    options = ("--cfg-options", "train_cfg.max_epochs=1")
    tool("train")(folder / "tiny.py", "--work-dir", tmp_path, "--amp", *options)
    assert (tmp_path / "epoch_1.pth").is_file()


def test_compiled_trains(folder, tmp_path, monkeypatch):
    compiled = functools.partial(compile_backbone, backend="aot_eager")
    monkeypatch.setattr("mixnet_dense.engine.train.compile_backbone", compiled)
    options = ("--cfg-options", "train_cfg.max_epochs=1")
    tool("train")(folder / "tiny.py", "--work-dir", tmp_path, "--compile", *options)
    assert (tmp_path / "epoch_1.pth").is_file()


def test_compiling_without_a_compiler_is_said(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(InputError, match="--compile: torch.compile needs a C"):
        tool("train")(folder / "tiny.py", "--work-dir", tmp_path, "--compile")


def test_resume_without_a_checkpoint_starts_anew(tmp_path):
    assert latest_checkpoint(str(tmp_path)) is None
    assert latest_checkpoint(str(tmp_path / "absent")) is None


def test_missing_coco_is_one_line_and_exit_code_2(tmp_path):
    found = shell(ROOT / "tools/train.py", ROOT / "configs/ssdlite_mixnet.py", cwd=tmp_path)
    assert found.returncode == 2
    assert "data/coco/annotations/instances_train2017.json: not there" in found.stderr
    assert "make demo" in found.stderr and "Traceback" not in found.stderr + found.stdout
    errors = [line for line in found.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["model.backbon.arch=m"], "there is no 'model.backbon'"),
        (["model.backbone.arch=xl"], "arch='xl': must be one of"),
        (["model.backbone.archs=m"], "archs"),
        (["model.backbone.type=mixnet_dense.MixNets"], "MixNets"),
        (["train_cfg.max_epoch=3"], "max_epoch"),
        (["model"], "must be key=value"),
        (["model.bbox_head.num_classes=2"], "has 4 classes, the head num_classes=2"),
    ],
)
def test_config_slips_are_named(folder, tmp_path, options, message):
    with pytest.raises(InputError, match=message) as error:
        tool("train")(folder / "tiny.py", "--work-dir", tmp_path, "--cfg-options", *options)
    assert "\n" not in str(error.value)


def test_config_files_that_are_none(tmp_path):
    with pytest.raises(InputError, match="absent.py': no such file"):
        tool("train")(tmp_path / "absent.py")
    (tmp_path / "broken.py").write_text("model = dict(")
    with pytest.raises(InputError, match="broken.py"):
        tool("train")(tmp_path / "broken.py")


def rewrite(folder, tmp_path, change):
    """The tiny config over annotations that ``change`` has spoilt."""
    text = (folder / "sample" / "annotations" / "instances_train2017.json").read_text()
    (tmp_path / "spoilt.json").write_text(change(text))
    option = f"train_dataloader.dataset.ann_file={tmp_path / 'spoilt.json'}"
    arguments = ("--work-dir", tmp_path / "work", "--cfg-options", option)
    return lambda: tool("train")(folder / "tiny.py", *arguments)


def test_broken_json_is_named(folder, tmp_path):
    with pytest.raises(InputError, match="spoilt.json: is not JSON"):
        rewrite(folder, tmp_path, lambda text: text[: len(text) // 2])()


@pytest.mark.parametrize("workers", [0, 1])
def test_an_image_that_is_none_is_named(folder, tmp_path, workers):
    build_sample(SampleRequest(tmp_path / "sample", train=4, val=4), stream=io.StringIO())
    (tmp_path / "sample" / "train2017" / "000001.jpg").write_text("no picture")
    (tmp_path / "tiny.py").write_text(CONFIG.replace("SAMPLE", str(tmp_path / "sample")))
    with pytest.raises(InputError, match="train2017/000001.jpg: is not a readable image$"):
        options = ("--cfg-options", f"train_dataloader.num_workers={workers}")
        tool("train")(tmp_path / "tiny.py", "--work-dir", tmp_path / "work", *options)


def test_foreign_classes_are_named(folder, tmp_path):
    def rename(text):
        for name in ("coin", "zero", "three", "four"):
            text = text.replace(f'"name": "{name}"', f'"name": "x{name}"')
            text = text.replace(f'"name":"{name}"', f'"name":"x{name}"')
        return text

    with pytest.raises(InputError, match="xcoin.*none of which is among.*coin"):
        rewrite(folder, tmp_path, rename)()


def test_splits_with_other_classes_are_refused(folder, tmp_path):
    option = "val_dataloader.dataset.metainfo.classes=('coin','three','zero','four')"
    with pytest.raises(InputError, match="validation dataset has class 1 'three', .*'zero'"):
        arguments = ("--work-dir", tmp_path, "--cfg-options", option)
        tool("train")(folder / "tiny.py", *arguments)
    option = option.replace("val_data", "test_data")
    with pytest.raises(InputError, match="the dataset has class 1 'three', the checkpoint 'zero'"):
        arguments = ("--work-dir", tmp_path, "--cfg-options", option)
        tool("test")(folder / "tiny.py", folder / "work", *arguments)


def test_the_newest_checkpoint_is_not_the_highest_number(folder, tmp_path):
    whole = (folder / "work" / "epoch_1.pth").read_bytes()
    for age, name in ((100, "epoch_9.pth"), (50, "iter_900.pth"), (10, "epoch_2.pth")):
        (tmp_path / name).write_bytes(whole)
        os.utime(tmp_path / name, times=(time.time() - age,) * 2)
    assert Path(latest_checkpoint(str(tmp_path))).name == "epoch_2.pth"


def test_checkpoint_of_another_model_is_refused(folder, tmp_path):
    arguments = (folder / "tiny.py", folder / "work", folder / "sample" / "val2017")
    with pytest.raises(InputError, match="of another model: .*of another shape"):
        options = ("--cfg-options", "model.backbone.width=1.0", "model.neck.in_channels=(720,1536)")
        head = "model.bbox_head.in_channels=(720,1536,32,32,32,32)"
        tool("predict")(*arguments, "--out", tmp_path, *options, head)
    with pytest.raises(InputError, match="no complete"):
        tool("test")(folder / "tiny.py", tmp_path, "--work-dir", tmp_path)
    with pytest.raises(InputError, match="no such file"):
        tool("test")(folder / "tiny.py", tmp_path / "absent.pth", "--work-dir", tmp_path)


def test_places_that_cannot_be_written_are_named(folder, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        arguments = (folder / "work", "--work-dir", tmp_path / "log")
        tool("test")(folder / "tiny.py", *arguments, "--out", tmp_path / "file" / "metrics.json")
    with pytest.raises(InputError, match="no image there"):
        tool("predict")(folder / "tiny.py", folder / "work", tmp_path, "--out", tmp_path / "o")
    with pytest.raises(InputError, match="between 0 and 1"):
        tool("predict")("c", "k", "i", "--out", "o", "--score", "2")


def test_terminal_shows_one_live_line(folder, tmp_path):
    main, child = pty.openpty()
    command = [sys.executable, ROOT / "tools/train.py", folder / "tiny.py", "--work-dir", tmp_path]
    process = subprocess.Popen(
        command, stdout=child, stderr=child, env={**os.environ, "COLUMNS": "140", "TERM": "xterm"}
    )
    os.close(child)
    text = b""
    while True:
        try:
            text += os.read(main, 65536)
        except OSError:  # the other end is closed
            break
    assert process.wait() == 0, text.decode()
    line = next(part for part in text.decode().split("\r") if "epoch 2/2  iteration" in part)
    assert "loss_cls" in line and "lr" in line and "left" in line
