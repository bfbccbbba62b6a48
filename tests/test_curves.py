"""A training's log as numbers and as curves."""

import json
import re
import shlex

import pytest
from PIL import Image
from running import ROOT, tool

from mixnet_dense.engine.curves import draw_curves, in_words, read_log, summary
from mixnet_dense.errors import InputError


def step(number, loss=1.0, time=0.2):
    return dict(lr=0.1, loss=loss, loss_cls=loss, time=time, data_time=time / 4, iter=number)


def write(folder, start, rows, more=""):
    path = folder / start / "vis_data/scalars.json"
    path.parent.mkdir(parents=True)
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows) + more)


def test_a_resumed_training_is_one_log(tmp_path):
    val = {"coco/bbox_mAP": 0.1, "coco/cat_precision": 0.1, "coco/bbox_mAP_s": -1, "step": 0}
    rows = [step(10, 4, time=9), step(20, 3), val, step(30, 9)]
    write(tmp_path, "20260101_000000", rows, more='{"lr": 0.')  # interrupted
    write(tmp_path, "20260102_000000", [step(30, 2), val | {"coco/bbox_mAP": 0.4}])
    log = read_log(tmp_path)
    assert [(row["iter"], row["loss"]) for row in log.train] == [(10, 4), (20, 3), (30, 2)]
    assert [(row["iter"], row["coco/bbox_mAP"]) for row in log.val] == [(20, 0.1), (30, 0.4)]
    best = dict(step=30, value=0.4)
    assert summary(log) == dict(steps=30, loss=2, step_s=0.2, waiting=0.25, best=best)
    assert in_words(summary(log)) == (
        "30 steps, the loss is 2\n0.2 s a step (median), 25% of it waiting for data: a greater "
        "train_dataloader.num_workers may help\nbest validation 0.4 at step 30"
    )
    loss, metrics, *_ = draw_curves(log).axes
    assert [line.get_label() for line in loss.lines] == ["loss", "loss_cls"]
    (line,) = metrics.lines  # no single class, nothing undefined
    assert line.get_xydata().tolist() == [[20, 0.1], [30, 0.4]]


def test_a_new_training_in_an_old_folder_replaces_the_log(tmp_path):
    for start in ("20260101_000000", "20260102_000000"):
        write(tmp_path, start, [step(10), step(20)])
    write(tmp_path, "20260103_000000", [{"mIoU": 3, "step": 0}])  # a test
    assert [row["iter"] for row in read_log(tmp_path).train] == [10, 20]
    with pytest.raises(InputError, match="absent: no training log there"):
        read_log(tmp_path / "absent")


def test_the_tool_draws_what_a_training_logged(detector, tmp_path, capsys):
    work = detector / "work"  # two epochs of two steps
    tool("analyze")(work, "--out", tmp_path / "curves.png")
    said = capsys.readouterr().out
    assert said.startswith("4 steps, the loss is ") and "best validation 0" in said
    assert Image.open(tmp_path / "curves.png").width == 900
    tool("analyze")(work, "--out", tmp_path / "curves.svg", "--json")
    numbers = json.loads(capsys.readouterr().out)
    assert numbers["steps"] == numbers["best"]["step"] == 4 and 0 <= numbers["waiting"] < 1
    text = (tmp_path / "curves.svg").read_text()
    assert text.count("<!-- ") > 10 and "seconds a step" in text and "bbox_mAP_50" in text
    with pytest.raises(InputError, match="curves.doc: must end in .png, .svg or .pdf"):
        tool("analyze")(work, "--out", tmp_path / "curves.doc")


def test_the_documented_line_writes_for_tensorboard(detector, tmp_path):
    pytest.importorskip("tensorboard")
    text = (ROOT / "docs/own_data.md").read_text().replace("\\\n", " ")
    (line,) = re.findall(r"^python tools/train.py my.py (.*Tensorboard.*)$", text, re.MULTILINE)
    short = ("train_cfg.max_epochs=1", "train_cfg.val_interval=9")
    tool("train")(detector / "detector.py", *shlex.split(line), *short, "--work-dir", tmp_path)
    (events,) = tmp_path.glob("*/vis_data/events.out.tfevents.*")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    scalars = EventAccumulator(str(events)).Reload()
    assert "loss_cls" in scalars.Tags()["scalars"] and scalars.Scalars("loss")[0].step == 2
    assert read_log(tmp_path).train[-1]["iter"] == 2
    # of two trainings in one process each has a log of its own
    assert [row["iter"] for row in read_log(detector / "work").train][-1] == 4
