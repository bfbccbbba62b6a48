"""Training from tar files, on this disk or at an address, is training from folders."""

import functools
import http.server
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter

import pytest
from mmengine.registry import init_default_scope
from running import ROOT, TINY_DETECTOR, TINY_SEGMENTER, tool
from test_survival import load, same, signal_at

from mixnet_dense import shards
from mixnet_dense.engine.config import check_files, load_config
from mixnet_dense.engine.shards import write_shards
from mixnet_dense.errors import InputError, Stopped
from mixnet_dense.registry import DATASETS
from mixnet_dense.sample.build import build_sample

SPLITS = ("train", "val", "test")


def roots(place):
    return [f"{split}_dataloader.dataset.data_root={place}" for split in SPLITS]


@pytest.fixture(scope="module")
def configs(sample, prepared, tmp_path_factory):
    """Configs of the sample in folders: detector.py and segmenter.py."""
    folder = tmp_path_factory.mktemp("configs")
    (folder / "detector.py").write_text(TINY_DETECTOR.replace("SAMPLE", str(sample)))
    (folder / "segmenter.py").write_text(TINY_SEGMENTER.replace("SAMPLE", str(prepared)))
    return folder


@pytest.fixture(scope="module")
def packed(configs, tmp_path_factory):
    """Shards of two or three images each, in a folder for each config."""
    folder, counts = tmp_path_factory.mktemp("packed"), {}
    for task in ("detector", "segmenter"):
        config = load_config(str(configs / f"{task}.py"))
        counts[task] = write_shards(config, folder / task, megabytes=0.05)
        assert len(list((folder / task).glob("train-*.tar"))) > 2
    assert counts["detector"] == dict(train=8, val=4, test=0)
    assert counts["segmenter"] == dict(train=16, val=8, test=0)
    return folder


@pytest.fixture
def served(packed):
    """An address that serves the folder of `packed`, and what was fetched from it."""
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            asked.append(self.path)

    handler = functools.partial(Handler, directory=packed)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


def test_a_training_from_shards_stopped_and_resumed_is_that_from_folders(
    detector, packed, tmp_path, monkeypatch
):
    read, original = Counter(), shards.Shards.read
    monkeypatch.setattr(
        shards.Shards, "read", lambda self, name: read.update([name]) or original(self, name)
    )
    signal_at(monkeypatch, signal.SIGTERM, 1)
    arguments = (detector / "detector.py", "--work-dir", tmp_path)
    options = ("--cfg-options", *roots(f"shards://{packed}/detector"))
    with pytest.raises(Stopped):
        tool("train")(*arguments, *options)
    assert sum(read.values()) == 4 and max(read.values()) == 1
    tool("train")(*arguments, "--resume", *options)
    found, expected = load(tmp_path / "epoch_2.pth"), load(detector / "work" / "epoch_2.pth")
    for part in ("state_dict", "optimizer"):
        assert same(found[part], expected[part]), part
    assert sorted(read.values()) == [1] * 4 + [2] * 8  # a validation and two epochs


def test_label_maps_in_shards_are_those_in_folders(configs, packed):
    init_default_scope("mmseg")
    options = [], roots(f"shards://{packed}/segmenter")
    configs = [load_config(str(configs / "segmenter.py"), each) for each in options]
    folders, tars = (DATASETS.build(config.val_dataloader.dataset) for config in configs)
    assert len(folders) == len(tars) == 4
    for one, other in zip(folders, tars, strict=True):
        assert (one["inputs"] == other["inputs"]).all()
        labels = [sample["data_samples"].gt_sem_seg.data for sample in (one, other)]
        assert (labels[0] == labels[1]).all() and labels[0].any()


class Listed:
    """A dataset of the training images of a folder of shards."""

    def __init__(self, folder):
        self.names = sorted(n for n in shards.Shards(folder).files if n.startswith("train"))
        self.folder = folder

    def __len__(self):
        return len(self.names)

    def get_data_info(self, index):
        return dict(img_path=f"shards://{self.folder}/{self.names[index]}")


def test_processes_read_their_shards_and_each_image_once(packed, monkeypatch):
    data = Listed(packed / "detector")
    opened = shards.find(data.get_data_info(0)["img_path"])[0]
    number = [opened.files[name][0] for name in data.names]

    def order(rank, count, epoch, **options):
        monkeypatch.setattr("mmengine.dataset.sampler.get_dist_info", lambda: (rank, count))
        sampler = shards.ShardSampler(data, seed=3, **options)
        sampler.set_epoch(epoch)
        found = list(sampler)
        assert len(found) == len(sampler)
        return found

    for count in (1, 2, 3):
        parts = [order(rank, count, 0, round_up=False) for rank in range(count)]
        assert sorted(sum(parts, [])) == list(range(8))
        assert sum(len(order(rank, count, 0)) for rank in range(count)) == -(-8 // count) * count
    plain = order(0, 1, 0, buffer=0)
    assert sum(number[a] != number[b] for a, b in zip(plain, plain[1:], strict=False)) == (
        len(set(number)) - 1  # from shard to shard
    )
    assert plain == order(0, 1, 0, buffer=0)
    assert len({tuple(order(0, 1, epoch, buffer=0)) for epoch in range(5)}) > 1
    mixed = order(0, 1, 0, buffer=4)
    assert mixed != plain and all(abs(mixed.index(n) - plain.index(n)) <= 4 for n in plain)


def test_shards_at_an_address_are_fetched_and_the_oldest_make_room(
    packed, served, tmp_path, monkeypatch
):
    url, asked = served
    monkeypatch.setenv("MIXNET_DENSE_CACHE", str(tmp_path / "cache"))
    content = json.loads((packed / "detector/shards.json").read_text())
    size = max(row["size"] for row in content["shards"])
    content.update(url=f"{url}/detector/", cache_gb=2 * size / 1e9)
    (tmp_path / "here").mkdir()
    (tmp_path / "here/shards.json").write_text(json.dumps(content))
    here, there = shards.find(f"shards://{tmp_path}/here/x")[0], shards.Shards(packed / "detector")
    for _ in range(2):
        for name in there.files:
            assert here.read(name) == there.read(name)
    assert Counter(asked) == {f"/detector/{name}": 2 for name, _ in there.shards}
    assert len(list(tmp_path.glob("cache/shards/*/*.tar"))) == 2


def test_images_at_an_address_are_read_one_by_one(sample, configs, packed, served):
    shutil.copytree(sample / "val2017", packed / "images", dirs_exist_ok=True)
    init_default_scope("mmdet")
    url, asked = served
    prefix = f"val_dataloader.dataset.data_prefix.img={url}/images/"
    config = load_config(str(configs / "detector.py"), [prefix])
    dataset = DATASETS.build(config.val_dataloader.dataset)
    folder = DATASETS.build(load_config(str(configs / "detector.py")).val_dataloader.dataset)
    assert all((dataset[at]["inputs"] == folder[at]["inputs"]).all() for at in range(4))
    assert len(asked) == 4
    check_files(config)
    config.val_dataloader.dataset.ann_file = "no.json"
    with pytest.raises(InputError, match="no.json: not there"):
        check_files(config)


def test_files_of_webdataset_get_an_index(sample, tmp_path):
    webdataset = pytest.importorskip("webdataset")
    paths = sorted((sample / "val2017").glob("*.jpg"))
    with webdataset.ShardWriter(f"{tmp_path}/%03d.tar", maxcount=3, verbose=0) as writer:
        for path in paths:
            writer.write({"__key__": path.stem, "jpg": path.read_bytes(), "cls": 1})
    tool("prepare_data")("shards", tmp_path)
    opened = shards.Shards(tmp_path)
    assert [opened.read(f"{path.stem}.jpg") for path in paths] == [p.read_bytes() for p in paths]


def test_webdataset_reads_our_files(packed):
    webdataset = pytest.importorskip("webdataset")
    urls = [str(path) for path in sorted((packed / "detector").glob("*.tar"))]
    found = {row["__key__"]: row["jpg"] for row in webdataset.WebDataset(urls, shardshuffle=False)}
    opened = shards.Shards(packed / "detector")
    assert found == {name.removesuffix(".jpg"): opened.read(name) for name in opened.files}


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
custom_imports = dict(imports=["mixnet_dense", "seen"])
custom_hooks = [dict(type="Seen")]
train_cfg = dict(max_epochs=1, val_interval=2)
train_dataloader.update(batch_size=20, num_workers=1)
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=5))
"""


@pytest.mark.survival
def test_2000_images_in_shards_on_two_processes_killed_and_resumed(tmp_path, monkeypatch):
    build_sample(tmp_path / "sample", train=2000, val=4)
    (tmp_path / "seen.py").write_text(SEEN)
    text = TINY_DETECTOR.replace("SAMPLE", str(tmp_path / "sample")) + STEPS
    (tmp_path / "c.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    counts = write_shards(load_config(str(tmp_path / "c.py")), tmp_path / "tars", megabytes=4)
    assert counts["train"] == 2000
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")

    def start(work, *options):
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        command += ["--nproc_per_node", 2, ROOT / "tests/running.py", "train", tmp_path / "c.py"]
        command += ["--no-check", "--launcher", "pytorch", "--work-dir", tmp_path / work, *options]
        log = open(tmp_path / f"{work}.txt", "a")
        command = list(map(str, command))
        return subprocess.Popen(command, stdout=log, stderr=log)

    def seen(work):
        """The loss and the images of each step, by process and step, and how many were done."""
        rows = {}
        for rank in range(2):
            lines = (tmp_path / work / f"seen-{rank}.txt").read_text().splitlines()
            rows |= {(rank, int(line.split()[0])): line.split()[1:] for line in lines}
        return rows, len(lines)

    assert start("folders").wait(300) == 0
    expected, steps = seen("folders")
    assert steps == 50
    names = Counter(name for row in expected.values() for name in row[1:])
    assert len(names) == 2000 and set(names.values()) == {1}
    options = ("--cfg-options", f"train_dataloader.dataset.data_root=shards://{tmp_path}/tars")
    process, file = start("shards", *options), tmp_path / "shards/seen-0.txt"
    while not (file.exists() and len(file.read_text().splitlines()) > 22):
        assert process.poll() is None, (tmp_path / "shards.txt").read_text()
        time.sleep(0.05)
    process.kill()
    for path in (tmp_path / "shards").glob("pid-*.txt"):  # torchrun does not end them any more
        os.kill(int(path.read_text()), signal.SIGKILL)
    process.wait()
    assert start("shards", "--resume", *options).wait(300) == 0
    found, steps = seen("shards")
    assert 50 < steps < 60  # those since the last checkpoint twice
    assert found == expected
