"""The tools on two processes that torchrun starts, where there is no GPU."""

import json

import pytest
import torch
from running import ROOT, fresh, shell, tool

from mixnet_dense.engine.config import load_config
from mixnet_dense.engine.runner import launch, train_runner
from mixnet_dense.errors import InputError

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="with GPUs mmengine does it")
METRICS = {"detector": ("coco/bbox_mAP", 1), "segmenter": ("mIoU", 100)}
"""By task: the metric, and its largest value."""


def three_images(task, folder):
    """Options for validation and test sets of three images."""
    options = []
    for split in ("val", "test"):
        if task == "segmenter":
            options.append(f"{split}_dataloader.dataset.indices=3")
        else:
            options.append(f"{split}_dataloader.dataset.ann_file={folder / 'odd.json'}")
    return ("--cfg-options", *options)


@pytest.fixture(scope="module")
def two(detector, segmenter, tmp_path_factory):
    """A folder with what two processes trained, and their reports of three images."""
    target, commands = tmp_path_factory.mktemp("two"), []
    for task, folder in (("detector", detector), ("segmenter", segmenter)):
        config, work = folder / f"{task}.py", target / task
        last = ("--launcher", "pytorch", *three_images(task, folder))
        epochs = ("train_cfg.max_epochs=1", "train_cfg.val_interval=1")
        commands += ["train", config, "--work-dir", work, *last, *epochs, "+"]
        out = ("--work-dir", work / "test", "--report", work / "report")
        commands += ["test", config, folder / "work", *out, *last, "+"]
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", 2)
    found = shell(*launcher, ROOT / "tests/running.py", *commands[:-1], cwd=target)
    assert found.returncode == 0, found.stderr
    return target


@pytest.mark.parametrize("task", METRICS)
def test_training_and_its_evaluation(two, task):
    assert (two / task / "epoch_1.pth").is_file()
    (log,) = (two / task).glob("*/*.log")
    assert "8 images a step (4 x 2 processes)" in log.read_text()
    (scalars,) = (two / task).glob("*/vis_data/scalars.json")
    rows = [json.loads(line) for line in scalars.read_text().splitlines()]
    assert any(METRICS[task][0] in row for row in rows)


@pytest.mark.parametrize("task", METRICS)
def test_two_processes_score_as_one(two, request, tmp_path, task):
    folder = request.getfixturevalue(task)
    arguments = ("--work-dir", tmp_path / "log", "--report", tmp_path / "report")
    command = (folder / f"{task}.py", folder / "work", *arguments, *three_images(task, folder))
    tool("test")(*command)
    for name in ("metrics", "images", "predictions"):
        one, both = (
            json.loads((place / f"report/{name}.json").read_text())
            for place in (tmp_path, two / task)
        )
        if name == "predictions":
            assert one == both and len(one) == (60 if task == "detector" else 3)
        else:
            assert one.pop("speed", 0) != both.pop("speed", 1) and one == both
    metric, largest = METRICS[task]
    value = json.loads((tmp_path / "report/metrics.json").read_text())["metrics"][metric]
    assert 0.01 * largest < value < 0.99 * largest


def test_a_launcher_that_did_not_launch_is_named(detector, monkeypatch):
    config = load_config(str(detector / "detector.py"))
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(InputError, match="start it with torchrun"):
        launch(config, "pytorch")
    with pytest.raises(InputError, match="--launcher slurm: needs GPUs"):
        launch(config, "slurm")


def test_a_static_graph_and_gradients_of_several_steps_are_refused(detector, monkeypatch):
    options = ["optim_wrapper.accumulative_counts=2", "model_wrapper_cfg.static_graph=True"]
    config = load_config(str(detector / "detector.py"), options)
    monkeypatch.setattr("mixnet_dense.engine.runner.is_distributed", lambda: True)
    with pytest.raises(InputError, match="static_graph: does not go with .*accumulative_counts=2"):
        train_runner(config)


def test_one_of_several_processes_ends_before_python_clears_up():
    printed = fresh("""
        import atexit, os, torch
        from mixnet_dense.cli import run

        class Thing:
            def __del__(self):
                print("cleared up", flush=True)

        os.environ.update(RANK="0", WORLD_SIZE="1", MASTER_ADDR="localhost", MASTER_PORT="0")
        atexit.register(print, "said at the end")
        thing = Thing()
        run(lambda: torch.distributed.init_process_group("gloo"))
    """)
    assert printed == "said at the end\n"
