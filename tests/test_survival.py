"""Trainings that are stopped, lose images or the disk, or whose loss is no number."""

import errno
import json
import os
import pickle
import shutil
import signal

import pytest
import torch
from running import TINY_DETECTOR, TINY_SEGMENTER, tool

from mixnet_dense.engine import survival
from mixnet_dense.engine.losses import LossHook
from mixnet_dense.engine.resume import Batches, Index, Loader, _is_of_dead_worker, seed_all
from mixnet_dense.engine.stopping import StopHook
from mixnet_dense.errors import InputError, Stopped

TASKS = ("detector", "segmenter")
ONE_EPOCH = ("train_cfg.max_epochs=1", "train_cfg.val_interval=1")


def load(path):
    return torch.load(path, weights_only=False)


def same(one, other):
    """Whether two states of tensors, numbers, lists and dictionaries are equal, bit for bit."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


def signal_at(monkeypatch, number, step, method="after_train_iter"):
    """Send this process a signal in a step, once."""
    original, left = getattr(StopHook, method), [step]

    def after(hook, runner, *args, **options):
        if left and (runner.iter + 1 == left[0] or method == "after_val_iter"):
            left.clear()
            os.kill(os.getpid(), number)
        original(hook, runner, *args, **options)

    monkeypatch.setattr(StopHook, method, after)


# ---------------------------------------------------------------------- stopped


@pytest.mark.parametrize("task", TASKS)
def test_stopped_within_an_epoch_and_resumed_the_end_is_the_same(
    task, request, tmp_path, monkeypatch
):
    folder = request.getfixturevalue(task)
    signal_at(monkeypatch, signal.SIGTERM, 1)
    arguments = (folder / f"{task}.py", "--work-dir", tmp_path)
    with pytest.raises(Stopped) as stopped:
        tool("train")(*arguments)
    assert stopped.value.code == 143
    assert [path.name for path in tmp_path.glob("*.pth")] == ["iter_1.pth"]
    # Also with another number of data workers.
    tool("train")(*arguments, "--resume", "--cfg-options", "train_dataloader.num_workers=1")
    found, expected = load(tmp_path / "epoch_2.pth"), load(folder / "work" / "epoch_2.pth")
    for part in ("state_dict", "optimizer", "param_schedulers"):
        assert same(found[part], expected[part]), part
    scores = (content["message_hub"]["runtime_info"]["best_score"] for content in (found, expected))
    assert len(set(scores)) == 1
    assert not (tmp_path / "iter_1.pth").exists()  # newer ones have taken its place
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_stopped_in_a_validation_it_is_made_up_for(detector, tmp_path, monkeypatch, capsys):
    signal_at(monkeypatch, signal.SIGINT, None, "after_val_iter")
    arguments = (detector / "detector.py", "--work-dir", tmp_path)
    with pytest.raises(Stopped) as stopped:
        tool("train")(*arguments, "--cfg-options", *ONE_EPOCH)
    assert stopped.value.code == 130 and not list(tmp_path.glob("best_*"))
    tool("train")(*arguments, "--resume", "--cfg-options", *ONE_EPOCH)
    assert len(list(tmp_path.glob("best_*_epoch_1.pth"))) == 1
    tool("train")(*arguments, "--resume", "--cfg-options", *ONE_EPOCH)  # nothing is left to do
    assert "Epoch(val)" not in "".join(capsys.readouterr().out.rpartition("resumed epoch")[2])


def test_steps_have_their_images_and_seeds_wherever_loading_begins():
    sampler = torch.utils.data.SequentialSampler(range(10))
    batches = Batches(torch.utils.data.BatchSampler(sampler, 4, drop_last=False), seed=7)
    batches.begin(step=4, skip=1)  # epochs have 3 steps
    assert list(batches) == [[4, 5, 6, 7], [8, 9]]
    assert [index.seeds for index in list(batches)[1]] == [(7, 0, 5, 0), (7, 0, 5, 1)]
    batches.endless = True
    stream = iter(batches)
    assert [next(stream) for _ in range(3)] == [[4, 5, 6, 7], [8, 9], [0, 1, 2, 3]]
    index = pickle.loads(pickle.dumps(Index(3, (1, 2))))  # as a data worker gets it
    assert index == 3 and index.seeds == (1, 2)


class Deadly(torch.utils.data.Dataset):
    """The worker that first loads sample 5 dies."""

    def __init__(self, flag):
        self.flag = flag

    def __len__(self):
        return 8

    def __getitem__(self, index):
        if index == 5 and not self.flag.exists():
            self.flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return int(index)


def test_batches_of_a_data_worker_that_dies_are_loaded_again(tmp_path):
    plain = torch.utils.data.DataLoader(Deadly(tmp_path / "dead"), 2, num_workers=2)
    loader = Loader.of(plain, plain.dataset, seed=0)
    assert [batch.tolist() for batch in loader] == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert (tmp_path / "dead").exists()
    loader.begin(3, 3)
    assert [batch.tolist() for batch in loader] == [[6, 7]]


@pytest.mark.parametrize(("error", "found"), [
    (RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed."), True),
    (RuntimeError("Pin memory thread exited unexpectedly"), True),
    (ConnectionResetError(104, "Connection reset by peer"), True),
    (RuntimeError("Caught RuntimeError in DataLoader worker process 0."), False),
    (FileNotFoundError("Caught FileNotFoundError in DataLoader worker process 0."), False),
])  # fmt: skip
def test_a_dead_worker_and_an_error_of_its_data_set_are_told_apart(error, found):
    assert _is_of_dead_worker(error) == found


def test_seeds_that_differ_in_one_number_draw_different_numbers():
    import random

    import numpy as np

    def drawn(*numbers):
        seed_all(numbers)
        return random.random(), np.random.rand(), torch.rand(()).item()

    assert drawn(0, 0, 1) == drawn(0, 0, 1)
    for one, other in zip(drawn(0, 0, 1), drawn(0, 1, 0), strict=True):
        assert one != other


# -------------------------------------------------------------- the disk is full


def test_a_full_disk_leaves_the_old_checkpoint_and_a_lost_log_only_warns(
    detector, tmp_path, monkeypatch, capsys
):
    def full(*_args, **_options):
        raise OSError(errno.ENOSPC, "No space left on device")

    original = survival.written_whole

    def write(path):
        if path.name == "epoch_2.pth":
            monkeypatch.setattr("mixnet_dense.files.put_in_place", full)
        return original(path)

    monkeypatch.setattr(survival, "written_whole", write)
    monkeypatch.setattr("mmengine.visualization.LocalVisBackend.add_scalars", full)
    options = ("--cfg-options", "default_hooks.checkpoint.max_keep_ckpts=1")
    options += ("default_hooks.logger.interval=1",)
    expected = f"{tmp_path}/epoch_2.pth: cannot be written: No space left on device; "
    expected += f"the newest whole checkpoint is {tmp_path}/epoch_1.pth"
    with pytest.raises(InputError, match=f"^{expected}$"):
        tool("train")(detector / "detector.py", "--work-dir", tmp_path, *options)
    assert [path.name for path in tmp_path.glob("*.pth")] == ["epoch_1.pth"]
    assert load(tmp_path / "epoch_1.pth")["meta"]["epoch"] == 1
    assert capsys.readouterr().out.count("a log cannot be written, training goes on") == 1


# ------------------------------------------------------------------- bad losses


@pytest.mark.parametrize("skips", [0, 9])
def test_a_loss_that_is_no_number_ends_the_training_or_is_left_out(
    detector, sample, tmp_path, monkeypatch, capsys, skips
):
    from mixnet_dense.det.head import SSDLiteHead

    original, calls = SSDLiteHead.loss_by_feat, []

    def loss_by_feat(*args, **options):
        losses = original(*args, **options)
        calls.append(1)
        return (
            {name: value * float("nan") for name, value in losses.items()}
            if (len(calls) == 3)
            else losses
        )

    monkeypatch.setattr(SSDLiteHead, "loss_by_feat", loss_by_feat)
    (tmp_path / "c.py").write_text(
        TINY_DETECTOR.replace("SAMPLE", str(sample)) + f"survival = dict(skip_bad_losses={skips})\n"
        "default_hooks = dict(checkpoint=dict(max_keep_ckpts=1))"
    )
    train = ("--work-dir", tmp_path / "work")
    if skips:
        tool("train")(tmp_path / "c.py", *train)
        assert "left out, 1 of at most 9" in capsys.readouterr().out
        state = load(tmp_path / "work/epoch_2.pth")["state_dict"]
        assert all(torch.isfinite(value).all() for value in state.values())
        assert not (tmp_path / "work/epoch_1.pth").exists()  # deleted after epoch_2.pth was there
    else:
        with pytest.raises(
            InputError, match="loss is nan at step 3, learning rate .*, images .*jpg"
        ):
            tool("train")(tmp_path / "c.py", *train)
        assert [path.name for path in (tmp_path / "work").glob("*.pth")] == ["epoch_1.pth"]


def test_weights_that_are_no_numbers_are_not_saved():
    state = {"a": torch.ones(2), "b": torch.tensor([1, float("inf")]), "count": torch.tensor(3)}
    checkpoint = dict(state_dict=state, meta=dict(iter=7))
    with pytest.raises(InputError, match="^weights are NaN or infinite after step 7: b; not saved"):
        LossHook().before_save_checkpoint(None, checkpoint)
    state["b"] = torch.zeros(1)
    LossHook().before_save_checkpoint(None, checkpoint)


# ------------------------------------------------------------ unreadable images


def spoilt(task, source, folder, *names):
    """A config whose data are a copy of a sample, in which files of these names are no images."""
    shutil.copytree(source, folder / "data")
    for name in names:
        (folder / "data" / name).write_text("no picture")
    text = TINY_DETECTOR if task == "detector" else TINY_SEGMENTER
    (folder / "c.py").write_text(text.replace("SAMPLE", str(folder / "data")))
    return folder / "c.py"


def test_an_unreadable_image_is_replaced_in_training_and_left_out_of_the_metrics(
    detector, sample, tmp_path
):
    config = spoilt("detector", sample, tmp_path, "train2017/000001.jpg", "val2017/000002.jpg")
    options = ("--cfg-options", *ONE_EPOCH, "train_dataloader.num_workers=1")
    tool("train")(config, "--no-check", "--work-dir", tmp_path / "work", *options)
    (log,) = tmp_path.glob("work/*/*.log")
    expected = "train2017/000001.jpg: is not a readable image, another is taken (1 of at most 1)"
    assert log.read_text().count(expected) == 1
    out = ("--out", tmp_path / "m.json", "--report", tmp_path / "report")
    tool("test")(config, detector / "work", *out, "--work-dir", tmp_path / "log")
    metrics = json.loads((tmp_path / "m.json").read_text())["metrics"]
    assert metrics["coco/unreadable_images"] == 1
    rows = json.loads((tmp_path / "report/predictions.json").read_text())
    assert {row["image_id"] for row in rows} == {1, 2, 4}
    # The same as a test set that never had it.
    path = tmp_path / "data/annotations/instances_val2017.json"
    content = json.loads(path.read_text())
    content["images"] = [row for row in content["images"] if row["id"] != 3]
    content["annotations"] = [row for row in content["annotations"] if row["image_id"] != 3]
    path.write_text(json.dumps(content))
    tool("test")(config, detector / "work", "--out", tmp_path / "n.json", "--work-dir", tmp_path)
    without = json.loads((tmp_path / "n.json").read_text())["metrics"]
    assert metrics == without | {"coco/unreadable_images": 1}


def test_an_unreadable_label_map_is_left_out_too(segmenter, prepared, tmp_path):
    stem = "val/sample/sample_00000{}_000000"
    config = spoilt("segmenter", prepared, tmp_path)
    scores = {}
    for name, options in {
        "lost": ["test_dataloader.dataset.check_labels=False"],
        "absent": ["test_dataloader.dataset.indices=(0,1,3)"],
    }.items():
        if name == "lost":
            broken = tmp_path / "data/gtFine" / f"{stem.format(2)}_gtFine_labelTrainIds.png"
            whole = broken.read_bytes()
            broken.write_text("no picture")
        else:
            broken.write_bytes(whole)
        arguments = ("--out", tmp_path / "m.json", "--work-dir", tmp_path, "--cfg-options")
        tool("test")(config, segmenter / "work", *arguments, *options)
        scores[name] = json.loads((tmp_path / "m.json").read_text())["metrics"]
    assert scores["lost"] == scores["absent"] | {"unreadable_images": 1}


def test_a_metric_that_does_not_leave_out_images_gets_all_of_them(detector, sample, tmp_path):
    config = spoilt("detector", sample, tmp_path, "val2017/000002.jpg")
    options = ("--cfg-options", "test_evaluator.type=mmdet.CocoMetric")
    with pytest.raises(InputError, match="val2017/000002.jpg: is not a readable image$"):
        tool("test")(config, detector / "work", "--work-dir", tmp_path / "log", *options)


@pytest.mark.parametrize("gone", [False, True])
def test_more_unreadable_images_than_allowed_end_the_training(sample, tmp_path, monkeypatch, gone):
    names = [f"train2017/00000{n}.jpg" for n in range(8)]
    config = spoilt("detector", sample, tmp_path, *names)
    expected = "train2017/.*: is not a readable image; more than 1 of 8 .survival.max_unreadable"
    if gone:
        from mixnet_dense.engine.resume import EpochLoop

        def run_epoch(loop):
            shutil.rmtree(tmp_path / "data/train2017")
            original(loop)

        original, expected = EpochLoop.run_epoch, "/data/train2017: is no longer there$"
        monkeypatch.setattr(EpochLoop, "run_epoch", run_epoch)
    with pytest.raises(InputError, match=expected):
        tool("train")(config, "--no-check", "--work-dir", tmp_path / "work")


# ----------------------------------------------------------------------- dry run


def test_a_dry_run_says_what_a_training_needs_and_writes_nothing(detector, tmp_path, capsys):
    work = tmp_path / "work"
    tool("train")(detector / "detector.py", "--work-dir", work, "--dry-run")
    first, memory, times, space = capsys.readouterr().out.splitlines()[-4:]
    assert first.endswith("checkpoint and a batch of validation: all work")
    assert 100 < float(memory.split()[2]) < 100_000
    assert "s a step without loading its images: the 4 steps take " in times
    size = (detector / "work/epoch_2.pth").stat().st_size / 2**20
    assert space.startswith(f"{work}: logs and up to 4 checkpoints of ")
    assert abs(float(space.partition(" MiB")[0].split()[-1]) - size) < 0.3
    assert not list(tmp_path.iterdir())
