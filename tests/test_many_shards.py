"""2,000 images in shards, on two processes that are killed and resumed: make test-survival."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from running import ROOT, TINY_DETECTOR
from test_shards import fetched_from, serving

from mixnet_dense.engine.config import load_config
from mixnet_dense.engine.shards import write_shards
from mixnet_dense.sample.build import build_sample

pytestmark = pytest.mark.survival
SEEN = '''
import os
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

@HOOKS.register_module()
class Seen(Hook):
    """Writes the step, the loss and the images of each step, for each process."""

    def before_train(self, runner):
        with open(f"{runner.work_dir}/pid-{runner.rank}.txt", "w") as file:
            print(os.getpid(), file=file)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        names = [os.path.basename(row.img_path) for row in data_batch["data_samples"]]
        with open(f"{runner.work_dir}/seen-{runner.rank}.txt", "a") as file:
            print(runner.iter, outputs["loss"].item(), *names, file=file)
'''
STEPS = """
train_pipeline = _base_.train_pipeline
train_pipeline[2]["scale"] = (96, 96)
custom_imports = dict(imports=["mixnet_dense", "seen"])
custom_hooks = [dict(type="Seen")]
train_cfg = dict(max_epochs=1, val_interval=2)
small = dict(data, pipeline=train_pipeline)
train_dataloader.update(batch_size=20, num_workers=1, dataset=small)
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=5))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a config, ``c.py``, of 2,000 images, and these in shards, ``tars``."""
    folder = tmp_path_factory.mktemp("many")
    build_sample(folder / "sample", train=2000, val=4)
    (folder / "seen.py").write_text(SEEN)
    (folder / "c.py").write_text(TINY_DETECTOR.replace("SAMPLE", str(folder / "sample")) + STEPS)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        config = load_config(str(folder / "c.py"))
    assert write_shards(config, folder / "tars", megabytes=2)["train"] == 2000
    return folder


def start(folder, work, *options):
    """Begin a training on two processes."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc_per_node", 2, ROOT / "tests/running.py", "train", folder / "c.py"]
    command += ["--no-check", "--launcher", "pytorch", "--work-dir", folder / work, *options]
    path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    with open(folder / f"{work}.txt", "a") as log:
        environment = os.environ | dict(PYTHONPATH=path)
        return subprocess.Popen(map(str, command), stdout=log, stderr=log, env=environment)


def finish(process):
    try:
        assert process.wait(1800) == 0
    finally:
        process.terminate()


def seen(folder, work):
    """The loss and the images of each step, by process and step, and how many were done."""
    rows = {}
    for rank in range(2):
        lines = (folder / work / f"seen-{rank}.txt").read_text().splitlines()
        rows |= {(rank, int(line.split()[0])): line.split()[1:] for line in lines}
    return rows, len(lines)


def killed_and_resumed(folder, work, *options):
    """As `seen`, of a training that is killed in the middle of its epoch."""
    process, file = start(folder, work, *options), folder / work / "seen-0.txt"
    while not (file.exists() and len(file.read_text().splitlines()) > 22):
        assert process.poll() is None, (folder / f"{work}.txt").read_text()
        time.sleep(0.05)
    process.kill()
    for path in (folder / work).glob("pid-*.txt"):  # torchrun does not end them any more
        os.kill(int(path.read_text()), signal.SIGKILL)
    process.wait()
    finish(start(folder, work, "--resume", *options))
    found, steps = seen(folder, work)
    assert 50 < steps < 60  # those since the last checkpoint twice
    return found


def assert_each_once(rows):
    names = Counter(name for row in rows.values() for name in row[1:])
    assert len(rows) == 2 * 50 and len(names) == 2000 and set(names.values()) == {1}


def test_images_and_losses_are_those_from_folders(folder):
    finish(start(folder, "folders"))
    expected, steps = seen(folder, "folders")
    assert steps == 50
    assert_each_once(expected)
    place = f"train_dataloader.dataset.data_root=shards://{folder}/tars"
    assert killed_and_resumed(folder, "shards", "--cfg-options", place) == expected


def test_shards_are_streamed_from_a_server(folder, monkeypatch):
    """Both processes share the cache, which has a place for 8 of the shards."""
    monkeypatch.setenv("MIXNET_DENSE_CACHE", str(folder / "cache"))
    with serving(folder / "tars") as (url, asked):
        here = fetched_from(url, folder / "tars", folder / "here", 8)
        options = (
            f"train_dataloader.dataset.data_root=shards://{here}",
            "train_dataloader.sampler.type=mixnet_dense.ShardSampler",
            "train_dataloader.sampler.buffer=50",
        )
        assert_each_once(killed_and_resumed(folder, "served", "--cfg-options", *options))
    kept = list(Path(folder / "cache").glob("shards/*/*.tar"))
    total, counts = len(list((folder / "tars").glob("train-*.tar"))), Counter(asked)
    print(f"\n{total} shards, {len(kept)} kept, asked for: {sorted(counts.values())}")
    assert len(kept) <= 8 < total == len(counts)
    assert len(asked) <= total + 2  # one has images of both processes, one was lost by the kill
