"""Training, evaluating and predicting with a detector, on a sample of a few images."""

import json
import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from running import ROOT, tool

from mixnet_dense.engine.config import load_config
from mixnet_dense.engine.train import train
from mixnet_dense.errors import InputError
from mixnet_dense.weights.load import latest_checkpoint

METRICS = ("mAP", "mAP_50", "mAP_75", "mAP_s", "mAP_m", "mAP_l")


def predictions(folder):
    return json.loads((folder / "predictions.json").read_text())


def odd(detector):
    """Options for a test set of three images with ids unlike their names."""
    return [f"test_dataloader.dataset.ann_file={detector / 'odd.json'}"]


def test_training_leaves_checkpoints_with_class_names(detector):
    checkpoint = torch.load(detector / "work" / "epoch_2.pth", weights_only=False)
    assert checkpoint["meta"]["dataset_meta"]["classes"] == ("coin", "zero", "three", "four")
    assert checkpoint["meta"]["epoch"] == 2


def test_predictions_score_in_coco_what_the_command_says(detector, report):
    metrics = json.loads((report / "metrics.json").read_text())["metrics"]
    annotated = COCO(detector / "odd.json")
    scorer = COCOeval(annotated, annotated.loadRes(predictions(report / "report")), "bbox")
    scorer.evaluate()
    scorer.accumulate()
    scorer.summarize()
    expected = {f"coco/bbox_{name}": metrics[f"coco/bbox_{name}"] for name in METRICS}
    values = (round(value, 3) for value in scorer.stats[:6].tolist())
    assert dict(zip(expected, values, strict=True)) == expected
    assert 0.1 < expected["coco/bbox_mAP"] < 0.9


def test_predictions_have_the_ids_of_the_annotation_file(detector, report, sample, tmp_path):
    rows = predictions(report / "report")
    names = {(row["image_id"], Path(row["file_name"]).name) for row in rows}
    assert names == {(3, "000000.jpg"), (7, "000001.jpg"), (12, "000003.jpg")}
    given = os.path.relpath(sample / "val2017")  # another name of the same files
    (tmp_path / "20.jpg").write_bytes((sample / "val2017" / "000002.jpg").read_bytes())
    arguments = (detector / "detector.py", detector / "work", given, tmp_path / "20.jpg")
    tool("predict")(*arguments, "--out", tmp_path / "out", "--cfg-options", *odd(detector))
    found = {Path(row["file_name"]).name: row["image_id"] for row in predictions(tmp_path / "out")}
    odd_ids = {"000000.jpg": 3, "000001.jpg": 7, "000003.jpg": 12}
    assert found == odd_ids | {"000002.jpg": 2, "20.jpg": 20}
    categories = {(row["category"], row["category_id"]) for row in rows}
    categories |= {(r["category"], r["category_id"]) for r in predictions(tmp_path / "out")}
    assert len(categories) > 1
    assert categories <= {("four", 7), ("coin", 3), ("three", 90), ("zero", 41)}


def test_prediction_prepares_images_as_evaluation_does(detector, report, sample, tmp_path):
    def values(rows):
        return {(row["image_id"], row["category_id"], row["score"]) for row in rows}

    smaller = [*odd(detector), "test_dataloader.dataset.pipeline.1.scale=(96, 128)"]
    arguments = (detector / "detector.py", detector / "work")
    out = ("--report", tmp_path / "report", "--work-dir", tmp_path / "log")
    tool("test")(*arguments, *out, "--cfg-options", *smaller)
    images = [sample / "val2017" / f"{index:06d}.jpg" for index in (0, 1, 3)]
    tool("predict")(*arguments, *images, "--out", tmp_path / "out", "--cfg-options", *smaller)
    found = values(predictions(tmp_path / "report"))
    assert found == values(predictions(tmp_path / "out"))
    assert not found & values(predictions(report / "report"))


@pytest.mark.parametrize("key", ["annotations", None])
def test_results_file_of_a_test_set_without_annotations(detector, report, tmp_path, key):
    content = json.loads((detector / "odd.json").read_text())
    content.pop("annotations")
    (tmp_path / "test-dev.json").write_text(json.dumps(content | ({key: []} if key else {})))
    options = [f"test_dataloader.dataset.ann_file={tmp_path / 'test-dev.json'}"]
    arguments = (detector / "detector.py", detector / "work", "--work-dir", tmp_path / "log")
    tool("test")(*arguments, "--format-only", tmp_path / "sent", "--cfg-options", *options)
    rows = json.loads((tmp_path / "sent.bbox.json").read_text())
    expected = predictions(report / "report")
    same = ("image_id", "category_id", "bbox", "score")
    assert rows == [{name: row[name] for name in same} for row in expected]
    with pytest.raises(InputError, match="--format-only has no metrics"):
        tool("test")(*arguments, "--format-only", tmp_path / "sent", "--out", tmp_path / "m.json")


def test_prediction_takes_files_folders_and_globs(detector, sample, tmp_path):
    images = sample / "val2017"
    given = (images / "000000.jpg", images, f"{images}/00000[12].jpg")
    tool("predict")(
        detector / "detector.py", detector / "work/epoch_2.pth", *given, "--out", tmp_path
    )
    rows = predictions(tmp_path)
    assert [row["image_id"] for row in rows] == [i for i in (1, 2, 3, 4) for _ in range(20)]
    assert {row["category_id"] for row in rows} <= {1, 2, 3, 4}
    assert all(len(row["bbox"]) == 4 and 0 < row["score"] < 1 for row in rows)
    assert len(list(tmp_path.glob("*.jpg"))) == 4


def test_boxes_from_the_given_score_on_are_drawn(detector, sample, tmp_path):
    drawn = {}
    for score in (0, 1):
        arguments = (detector / "work", sample / "val2017/000000.jpg", "--score", score)
        tool("predict")(detector / "detector.py", *arguments, "--out", tmp_path / str(score))
        drawn[score] = (tmp_path / str(score) / "000000.jpg").read_bytes()
    assert drawn[0] != drawn[1]


def test_prediction_never_replaces_an_image(detector, sample, tmp_path):
    image = tmp_path / "photo.jpg"
    image.write_bytes((sample / "val2017" / "000000.jpg").read_bytes())
    before = image.read_bytes()
    with pytest.raises(InputError, match="would replace the image .*photo.jpg"):
        tool("predict")(detector / "detector.py", detector / "work", image, "--out", tmp_path)
    assert image.read_bytes() == before


def test_images_of_one_name_have_pictures_of_two(detector, sample, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        source = sample / "val2017" / "000000.jpg"
        (tmp_path / name / "x.jpg").write_bytes(source.read_bytes())
    given = (tmp_path / "a", tmp_path / "b")
    tool("predict")(
        detector / "detector.py", detector / "work", *given, "--out", tmp_path / "found"
    )
    assert sorted(p.name for p in (tmp_path / "found").glob("*.jpg")) == ["x.jpg", "x_2.jpg"]
    assert {row["image_id"] for row in predictions(tmp_path / "found")} == {"x"}


def test_prediction_names_what_it_cannot_read_and_keeps_the_rest(detector, sample, tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    (images / "good.jpg").write_bytes((sample / "val2017" / "000000.jpg").read_bytes())
    (images / "bad.jpg").write_text("no picture")
    (images / "empty.jpg").write_bytes(b"")
    with pytest.raises(InputError, match="2 of 3 not readable: .*bad.jpg.*empty.jpg"):
        tool("predict")(
            detector / "detector.py", detector / "work", images, "--out", tmp_path / "out"
        )
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["good.jpg", "predictions.json"] and len(predictions(tmp_path / "out")) == 20


def test_resume_passes_over_a_half_written_checkpoint(detector, tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    whole = (detector / "work" / "epoch_1.pth").read_bytes()
    (work / "epoch_1.pth").write_bytes(whole)
    (work / "epoch_2.pth").write_bytes(whole[: len(whole) // 2])
    (work / "last_checkpoint").write_text(str(work / "epoch_2.pth"))
    assert latest_checkpoint(str(work)) == str(work / "epoch_1.pth")
    tool("train")(detector / "detector.py", "--work-dir", work, "--resume")
    resumed = torch.load(work / "epoch_2.pth", weights_only=False)
    assert resumed["meta"]["epoch"] == 2 and resumed["meta"]["iter"] == 4


def test_resume_without_a_checkpoint_starts_anew(tmp_path):
    assert latest_checkpoint(str(tmp_path)) is None
    assert latest_checkpoint(str(tmp_path / "absent")) is None


def test_the_newest_checkpoint_is_not_the_highest_number(detector, tmp_path):
    whole = (detector / "work" / "epoch_1.pth").read_bytes()
    for age, name in ((100, "epoch_9.pth"), (50, "iter_900.pth"), (10, "epoch_2.pth")):
        (tmp_path / name).write_bytes(whole)
        os.utime(tmp_path / name, times=(time.time() - age,) * 2)
    assert Path(latest_checkpoint(str(tmp_path))).name == "epoch_2.pth"


def test_training_compiled_scaled_and_in_mixed_precision(detector, tmp_path, monkeypatch):
    """How well compiled backbones and mixed precision compute is test_compiling.py's."""
    compiled, kinds = [], set()

    def note(backbone, _images, taps):
        if backbone.training:
            kinds.update(tap.dtype for tap in taps)

    def compile_backbone(model):
        compiled.append(model.backbone.register_forward_hook(note))

    monkeypatch.setattr("mixnet_dense.engine.train.compile_backbone", compile_backbone)
    config = load_config(
        str(detector / "detector.py"),
        ["train_cfg.max_epochs=1", "auto_scale_lr.base_batch_size=16"],
    )
    before = config.to_dict()
    train(config, str(tmp_path), amp=True, compiled=True, scale_lr=True)
    assert len(compiled) == 1 and kinds == {torch.bfloat16}
    assert config.to_dict() == before
    saved = torch.load(tmp_path / "epoch_1.pth", weights_only=False)
    rates = {group["initial_lr"] for group in saved["optimizer"]["param_groups"]}
    assert rates == {0.0005}  # 0.002 x 4 / 16


def test_terminal_shows_one_live_line(detector, tmp_path):
    main, child = pty.openpty()
    options = ("--cfg-options", "train_cfg.max_epochs=1", "train_cfg.val_interval=2")
    arguments = (detector / "detector.py", "--work-dir", tmp_path, *options)
    environment = {**os.environ, "COLUMNS": "140", "TERM": "xterm"}
    command = [sys.executable, ROOT / "tests/running.py", "train", *arguments]
    process = subprocess.Popen(command, stdout=child, stderr=child, env=environment)
    os.close(child)
    text = b""
    while True:
        try:
            text += os.read(main, 65536)
        except OSError:  # the other end is closed
            break
    assert process.wait() == 0, text.decode()
    line = next(part for part in text.decode().split("\r") if "epoch 1/1  iteration" in part)
    assert "loss_cls" in line and "lr" in line and "left" in line
