"""Training from tar files, on this disk or at an address, is training from folders."""

import functools
import http.server
import json
import shutil
import signal
import threading
from collections import Counter
from contextlib import contextmanager

import pytest
from mmengine.registry import init_default_scope
from running import TINY_DETECTOR, TINY_SEGMENTER, tool
from test_survival import load, same, signal_at

from mixnet_dense import shards
from mixnet_dense.engine.config import check_files, load_config
from mixnet_dense.engine.shards import write_shards
from mixnet_dense.errors import InputError, Stopped
from mixnet_dense.registry import DATASETS

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


@contextmanager
def serving(folder):
    """An address that serves a folder, and what was fetched from it."""
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            asked.append(self.path)

    handler = functools.partial(Handler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


@pytest.fixture
def served(packed):
    with serving(packed) as found:
        yield found


def fetched_from(url, packed, folder, shards_kept):
    """A folder with the index and the annotations of ``packed``, whose shards are at ``url``."""
    shutil.copytree(packed, folder, ignore=shutil.ignore_patterns("*.tar"))
    content = json.loads((packed / "shards.json").read_text())
    size = shards_kept * max(row["size"] for row in content["shards"])
    (folder / "shards.json").write_text(json.dumps(content | dict(url=url, cache_gb=size / 1e9)))
    return folder


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


@pytest.fixture
def order(monkeypatch):
    """What one of several processes reads of a dataset in an epoch."""

    def read(data, rank, count, epoch=0, **options):
        monkeypatch.setattr("mmengine.dataset.sampler.get_dist_info", lambda: (rank, count))
        sampler = shards.ShardSampler(data, seed=3, **options)
        sampler.set_epoch(epoch)
        found = list(sampler)
        assert len(found) == len(sampler)
        return found

    return read


def test_processes_read_their_shards_and_each_image_once(packed, order):
    data = Listed(packed / "detector")
    opened = shards.find(data.get_data_info(0)["img_path"])[0]
    number = [opened.files[name][0] for name in data.names]
    for count in (1, 2, 3):
        parts = [order(data, rank, count, round_up=False) for rank in range(count)]
        assert sorted(sum(parts, [])) == list(range(8))
        assert sum(len(order(data, rank, count)) for rank in range(count)) == -(-8 // count) * count
    plain = order(data, 0, 1, buffer=0)
    assert sum(number[a] != number[b] for a, b in zip(plain, plain[1:], strict=False)) == (
        len(set(number)) - 1  # from shard to shard
    )
    assert plain == order(data, 0, 1, buffer=0)
    assert len({tuple(order(data, 0, 1, epoch, buffer=0)) for epoch in range(5)}) > 1
    mixed = order(data, 0, 1, buffer=4)
    assert mixed != plain and all(abs(mixed.index(n) - plain.index(n)) <= 4 for n in plain)


def test_shards_at_an_address_are_fetched_and_the_oldest_make_room(
    packed, served, tmp_path, monkeypatch
):
    url, asked = served
    monkeypatch.setenv("MIXNET_DENSE_CACHE", str(tmp_path / "cache"))
    folder = fetched_from(f"{url}/detector/", packed / "detector", tmp_path / "here", 2)
    here, there = shards.find(f"shards://{folder}/x")[0], shards.Shards(packed / "detector")
    for _ in range(2):
        for name in there.files:
            assert here.read(name) == there.read(name)
    assert Counter(asked) == {f"/detector/{name}": 2 for name, _ in there.shards}
    assert len(list(tmp_path.glob("cache/shards/*/*.tar"))) == 2


def test_processes_fetch_their_part_of_the_shards(packed, served, order, tmp_path, monkeypatch):
    url, asked = served
    monkeypatch.setenv("MIXNET_DENSE_CACHE", str(tmp_path / "cache"))
    folder = fetched_from(f"{url}/detector/", packed / "detector", tmp_path / "here", 1)
    data, there = Listed(folder), shards.Shards(packed / "detector")
    for rank in range(2):
        for index in order(data, rank, 2, buffer=0):
            path = data.get_data_info(index)["img_path"]
            assert shards.ShardBackend().get(path) == there.read(data.names[index])
    parts = sum(name.startswith("train") for name, _ in there.shards)
    assert parts <= len(asked) <= parts + 1  # both processes may read of one shard


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
