"""No file but a config runs code, leads out of its folder, or takes memory beyond its size."""

import json
import resource
import tarfile
from contextlib import contextmanager

import bad_files as bad
import pytest
import torch
from labelled import coco
from tensorflow_files import write_model

from mixnet_dense import checkpoints
from mixnet_dense.data import formats
from mixnet_dense.errors import InputError
from mixnet_dense.export.predictor import load
from mixnet_dense.images import read_image
from mixnet_dense.seg.labels import read_labels
from mixnet_dense.weights import published
from mixnet_dense.weights.tensorflow_graph import read_graph


@contextmanager
def little_memory(megabytes=64):
    """The peak of this process may grow by so much within the block."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < megabytes * 1024


@pytest.fixture(autouse=True)
def no_code(tmp_path, monkeypatch):
    """Planted code would write the file ``ran``."""
    monkeypatch.chdir(tmp_path)
    yield
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("key", ["state_dict", "meta", "optimizer", "message_hub"])
def test_no_code_from_a_checkpoint(tmp_path, key):
    content = dict(state_dict={"a": torch.zeros(1)}, meta={}) | {key: {"x": bad.Code()}}
    torch.save(content, tmp_path / "k.pth")
    with pytest.raises(InputError, match="could run code"):
        checkpoints.read("k.pth")


def test_no_code_from_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MIXNET_DENSE_CACHE", str(tmp_path))
    name = next(iter(published.PUBLISHED))
    path = tmp_path / f"{name}-{published.PUBLISHED[name].sha256[:8]}.pth"
    torch.save({"state_dict": {"a": bad.Code()}}, path)
    with pytest.raises(InputError, match="could run code"):
        checkpoints.read(published.fetch(name))


CALL = dict(type="builtins.open", file="ran", mode="w")


@pytest.mark.parametrize(
    "changes",
    [
        dict(model=CALL),
        dict(model=dict(type="mixnet_dense.SSDLite", backbone=CALL)),
        dict(model=dict(type="mixnet_dense.SSDLite", neck=[dict(act_cfg=CALL)])),
        dict(model=dict(test_cfg=dict(nms=dict(type="open('ran', 'w')")))),
        dict(suppression=dict(nms=dict(type="open('ran', 'w')"))),
    ],
)
def test_no_code_from_an_exported_files_metadata(tmp_path, changes):
    bad.script(**changes)(tmp_path)
    with pytest.raises(InputError, match="metadata: (model|suppression) cannot be"):
        load("x.pt")


def test_no_entities_from_xml(tmp_path):
    text = "<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/hosts'>]><annotation>&b;</annotation>"
    bad.photos()(tmp_path)
    for encoding in ("utf-8", "utf-16"):
        (tmp_path / "photos/a.xml").write_bytes(text.encode(encoding))
        with pytest.raises(InputError, match="defines XML entities"):
            formats.read(tmp_path / "photos")


def test_no_objects_from_yaml(tmp_path):
    bad.photos(data__yaml="names: !!python/object/apply:builtins.open [ran, w]")(tmp_path)
    with pytest.raises(InputError, match="is not YAML"):
        formats.read(tmp_path / "photos")


@pytest.mark.parametrize("name", ["../../secret.jpg", "/secret.jpg", "a/../../secret.jpg"])
def test_no_image_outside_its_folder(tmp_path, name):
    from mixnet_dense.registry import DATASETS

    coco(tmp_path)
    (file,) = (tmp_path / "annotations").glob("*.json")
    content = json.loads(file.read_text())
    content["images"][0]["file_name"] = name
    file.write_text(json.dumps(content))
    options = dict(ann_file=str(file), data_prefix=dict(img=str(tmp_path / "images/default")))
    with pytest.raises(InputError, match="image outside its folder"):
        DATASETS.build(
            dict(
                type="mixnet_dense.CocoDataset", metainfo=dict(classes=("cat", "dog")),
                pipeline=[], **options,
            )
        )  # fmt: skip


def test_nothing_of_an_archive_is_written(tmp_path):
    with tarfile.open(tmp_path / "g.tar.gz", "w:gz") as archive:
        (tmp_path / "data").write_bytes(b"no graph")
        archive.add(tmp_path / "data", "../../escaped.pb")
    with pytest.raises(InputError):
        read_graph("g.tar.gz")
    assert not list(tmp_path.parent.parent.glob("escaped.pb"))


@pytest.mark.parametrize("path", ["../data", "a/../../data", "/etc/hosts", "c:\\x", "file:///x"])
def test_no_shard_outside_its_folder(tmp_path, path):
    bad.shard(path)(tmp_path)
    with pytest.raises(InputError, match="must be a path below the file's folder"):
        read_graph("g")


@pytest.mark.parametrize(
    ("make", "read"),
    [
        (bad.giant("x.png"), lambda path: refused(read_image(path / "x.png"))),
        (bad.giant("x.png"), lambda path: read_labels(path / "x.png", path / "x.png", None, True)),
        (bad.compressed, lambda _: checkpoints.read("bomb.pth")),
        (bad.write("x.safetensors", (2**40).to_bytes(8, "little") + b"{}"),
         lambda _: checkpoints.read("x.safetensors")),
        (bad.entry(shape=[2**30]), lambda _: read_graph("g")),
        (bad.entry(shape=[2**13, 2**13]), lambda _: read_graph("g")),
        (bad.frozen(lambda n: n.attr["value"].tensor.tensor_shape.dim.add(size=2**28)),
         lambda _: read_graph("g.pb")),
    ],
)  # fmt: skip
def test_sizes_are_bounded_before_memory_is_taken(tmp_path, make, read):
    make(tmp_path)
    with little_memory(), pytest.raises(InputError):
        read(tmp_path)


def refused(found):
    if isinstance(found, str):
        raise InputError(found)


def test_a_whole_archive_is_never_in_memory(tmp_path, monkeypatch):
    from mixnet_dense.weights import sources

    monkeypatch.setattr(sources, "LIMIT", 2**24)
    bad.gzip_bomb(tmp_path)
    with little_memory(), pytest.raises(InputError, match="at most|unpacks to more"):
        read_graph("g.tar.gz")


def test_a_graph_model_may_be_read(tmp_path):  # the tests above refuse for the right reason
    from tensorflow_files import model_json

    write_model(tmp_path / "g", *model_json(bad.CONSTANTS))
    assert read_graph("g").constants.keys() == bad.CONSTANTS.keys()
