"""Random changes of good files and command lines; only an InputError may come out: make fuzz."""

import copy
import io
import json
import os
import time
import zipfile

import numpy as np
import pytest
import torch
from bad_files import ABOUT, CONSTANTS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from labelled import FORMATS, coco
from lite_files import lite
from PIL import Image
from running import ROOT, tool
from safetensors.torch import save
from tensorflow_files import graph_def, model_json, write_model

from mixnet_dense import checkpoints
from mixnet_dense.data import formats
from mixnet_dense.data.coco_check import CocoCheck
from mixnet_dense.engine.config import load_config
from mixnet_dense.errors import InputError
from mixnet_dense.export.description import from_json
from mixnet_dense.images import read_image
from mixnet_dense.registry import DATASETS
from mixnet_dense.seg.labels import read_labels
from mixnet_dense.weights.load import check_resumable
from mixnet_dense.weights.tensorflow_graph import read_graph

pytestmark = pytest.mark.fuzz

SECONDS = float(os.environ.get("FUZZ_SECONDS", 600))
_TARGETS = 13

PLAIN = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**40), 2**40), st.floats(), st.text(max_size=9),
    st.sampled_from([0, -1, 1, 2**31, 2**63, float("nan"), "", "../x", "id", "\ud800"]),
)  # fmt: skip
JSON = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


def places(content, path=()):
    """Every path within nested lists and dictionaries."""
    yield path
    items = content.items() if isinstance(content, dict) else ()
    items = enumerate(content) if isinstance(content, (list, tuple)) else items
    for key, value in items:
        yield from places(value, (*path, key))


@st.composite
def changed(draw, content, values=JSON):
    """Nested content with up to three parts replaced or taken out."""
    content = copy.deepcopy(content)
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from([path for path in places(content) if path] or [()]))
        if not path:
            return draw(values)
        part = content
        for key in path[:-1]:
            part = part[key]
        if draw(st.booleans()):
            part[path[-1]] = draw(values)
        else:
            del part[path[-1]]
    return content


@st.composite
def spoilt(draw, data):
    """Bytes that are cut off, or up to four times overwritten or shifted."""
    data = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(data)))
        kind, new = draw(st.sampled_from("cut set put bit".split())), draw(st.binary(max_size=8))
        if kind == "cut":
            del data[place:]
        elif kind == "bit" and place < len(data):
            data[place] ^= 1 << draw(st.integers(0, 7))
        else:
            data[place : place + (len(new) if kind == "set" else 0)] = new
    return bytes(data)


def fuzz(cases, target):
    """Give cases to a function for this target's share of the time."""
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]

    @settings(max_examples=100, deadline=None, database=None, suppress_health_check=checks)
    @given(cases)
    def attempt(case):
        try:
            target(case)
        except InputError as error:
            assert str(error)

    end = time.monotonic() + SECONDS / _TARGETS
    while time.monotonic() < end:
        attempt()


def file(path, read):
    """A function that writes bytes, or JSON, and reads the file."""

    def attempt(content):
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        path.write_bytes(data)
        return read(str(path))

    return attempt


def test_annotations(tmp_path):
    coco(tmp_path)
    (path,) = (tmp_path / "annotations").glob("*.json")
    good = json.loads(path.read_text())
    folder = tmp_path / "images/default"
    fuzz(
        changed(good) | spoilt(path.read_bytes()),
        file(path, lambda _: CocoCheck(path, folder, ("cat", "dog")).images(True)),
    )


def test_annotations_of_a_dataset(tmp_path):
    coco(tmp_path)
    (path,) = (tmp_path / "annotations").glob("*.json")
    options = dict(
        type="mixnet_dense.CocoDataset",
        data_root=str(tmp_path),
        data_prefix=dict(img="images/default"),
        pipeline=[],
    )
    options |= dict(ann_file=str(path), metainfo=dict(classes=("cat", "dog")))

    def read(_):
        DATASETS.build(options)

    fuzz(changed(json.loads(path.read_text())) | spoilt(path.read_bytes()), file(path, read))


@pytest.mark.parametrize("form", FORMATS)
def test_peoples_labels(tmp_path, form):
    FORMATS[form](tmp_path)
    paths = [p for p in tmp_path.rglob("*") if p.suffix in (".json", ".xml", ".txt", ".yaml")]
    texts = {path: path.read_bytes() for path in paths}
    json_too = [changed(json.loads(text)) for path, text in texts.items() if path.suffix == ".json"]

    def attempt(case):
        for path, text in texts.items():
            path.write_bytes(text)
        place, content = case
        file(paths[place], lambda _: formats.read(tmp_path))(content)

    places_of = st.integers(0, len(paths) - 1)
    contents = places_of.flatmap(
        lambda place: st.tuples(st.just(place), spoilt(texts[paths[place]]))
    )
    fuzz(contents | st.tuples(places_of, st.one_of(json_too)) if json_too else contents, attempt)


def test_label_maps_and_images(tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(np.eye(9, dtype=np.uint8)).save(buffer, format="PNG")
    Image.new("RGB", (9, 9)).save(tmp_path / "photo.png")
    allowed = np.ones(256, bool)

    def read(path):
        read_image(tmp_path / "map.png")
        read_labels(tmp_path / "photo.png", tmp_path / "map.png", allowed, whole=True)

    fuzz(spoilt(buffer.getvalue()), file(tmp_path / "map.png", read))


MODEL = {"a.weight": torch.ones(2, 3), "b": torch.zeros(1)}
TRAINED = dict(
    state_dict=MODEL, optimizer={"state": {}}, meta={"epoch": 1, "iter": 2, "dataset_meta": {}}
)


def test_checkpoints(tmp_path):
    buffer = io.BytesIO()
    torch.save(TRAINED, buffer)
    values = JSON | st.sampled_from([torch.ones(2, 3), torch.tensor(float("nan")), torch.eye(2)])

    def read(path):
        checkpoints.read(path)
        check_resumable(path, MODEL)

    def save_and_read(content):
        if not isinstance(content, bytes):
            torch.save(content, tmp_path / "k.pth")
            return read(str(tmp_path / "k.pth"))
        return file(tmp_path / "k.pth", read)(content)

    fuzz(spoilt(buffer.getvalue()) | changed(TRAINED, values) | members(buffer), save_and_read)


def members(buffer):
    """A checkpoint with one file of its archive spoilt."""
    with zipfile.ZipFile(buffer) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}

    def packed(name, data):
        target = io.BytesIO()
        with zipfile.ZipFile(target, "w") as archive:
            for other, own in content.items():
                archive.writestr(other, data if other == name else own)
        return target.getvalue()

    return st.sampled_from(sorted(content)).flatmap(
        lambda name: spoilt(content[name]).map(lambda data: packed(name, data))
    )


def test_safetensors(tmp_path):
    data = save(MODEL, {"mixnet_dense": "{}"})
    length = int.from_bytes(data[:8], "little")
    header, rest = json.loads(data[8 : 8 + length]), data[8 + length :]

    def packed(content):
        text = json.dumps(content).encode()
        return len(text).to_bytes(8, "little") + text + rest

    fuzz(
        spoilt(data) | changed(header).map(packed),
        file(tmp_path / "k.safetensors", checkpoints.read),
    )


def test_frozen_graphs(tmp_path):
    operations = [("net/out", "FusedBatchNorm", ["in:0", "net/weights"], 0.25)]
    data = graph_def(CONSTANTS, operations).SerializeToString()
    fuzz(spoilt(data), file(tmp_path / "g.pb", read_graph))


def test_graph_models(tmp_path):
    model, shards = model_json(CONSTANTS)
    path = write_model(tmp_path, model, shards)
    fuzz(changed(model) | spoilt(path.read_bytes()), file(path, read_graph))


def test_tflite(tmp_path):
    name = "net/Conv2D_Fold;net/weights_quant/FakeQuantWithMinMaxVars"
    tensors = [("in", None, [0.5], [128]), (name, np.zeros((4, 1, 2, 3), np.uint8), [0.5], [0])]
    fuzz(spoilt(lite(tensors, [(3, [0, 1])])), file(tmp_path / "g.tflite", read_graph))


def test_metadata_of_exported_files():
    fuzz(changed(ABOUT).map(json.dumps) | st.text(), lambda text: from_json(text, "x.onnx"))


def test_command_lines(tmp_path):
    config = str(ROOT / "configs/ssdlite_mixnet_sample.py")
    tools = {path.stem: tool(path.stem, parse_only=True) for path in (ROOT / "tools").glob("*.py")}
    words = st.sampled_from(
        "--out --size --batch --score --cfg-options --format --model --source --resume --shape "
        "--mode --repeats --json --launcher --local-rank --debug sample cityscapes 0 -1 1e999 nan "
        "none x.png a=b model.type=3 = [] {} ( \ud800".split()
    )
    lines = st.tuples(
        st.sampled_from(sorted(tools)), st.lists(words | st.text(max_size=6), max_size=7)
    )
    keys = ["model", "model.backbone.arch", "train_cfg.max_epochs", "train_dataloader.batch_size"]
    keys += [
        "param_scheduler.0.end",
        "model.test_cfg.nms",
        "optim_wrapper.optimizer.lr",
        "x..y",
        ".",
    ]
    keys += [
        "train_dataloader.dataset.pipeline.2.scale",
        "train_dataloader.dataset.metainfo.classes",
    ]
    options = st.tuples(st.sampled_from(keys), PLAIN | JSON).map(
        lambda pair: "{}={!r}".format(*pair)
    )

    def attempt(case):
        if isinstance(case, str):
            return load_config(config, [case])
        name, arguments = case
        try:
            tools[name](*arguments)
        except SystemExit as stopped:
            assert stopped.code == 0  # --help

    fuzz(lines | options, attempt)
