"""A training's log as numbers and as curves."""

import json

import pytest

from mixnet_dense.engine.curves import draw_curves, read_log, timing
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
    assert timing(log) == dict(step_s=0.2, waiting=0.25)
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
