"""Reading TensorFlow graphs: what is read, and that each broken file is one line."""

import gzip
import io
import sys
import tarfile

import numpy as np
import pytest
from running import tool
from tensorflow_files import graph_def, model_json, served, write_model

from mixnet_dense.errors import InputError
from mixnet_dense.weights import sources
from mixnet_dense.weights.tensorflow_graph import read_graph

KERNEL = np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4)
CONSTANTS = {"net/weights": KERNEL, "net/shape": np.array([1, -1], np.int32)}
OPERATIONS = [("net/out", "FusedBatchNorm", ["in:0", "net/weights"], 0.25)]


def check(graph):
    assert list(graph.constants) == list(CONSTANTS)
    for name, array in CONSTANTS.items():
        assert graph.constants[name].dtype == array.dtype
        np.testing.assert_array_equal(graph.constants[name], array)
    node = graph.nodes["net/out"]
    assert (node.op, node.inputs, node.epsilon) == (
        "FusedBatchNorm",
        ("in:0", "net/weights"),
        0.25,
    )
    assert graph.nodes["net/shape"].epsilon is None


def binary():
    return graph_def(CONSTANTS, OPERATIONS).SerializeToString()


def tar(files, form="gz"):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=f"w:{form}") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


# ---------------------------------------------------------------- what is read


def test_graph_model_is_read_from_folder_and_file(tmp_path):
    path = write_model(tmp_path, *model_json(CONSTANTS, OPERATIONS))
    assert len(list(tmp_path.iterdir())) == 4  # 104 bytes in shards of 40
    check(read_graph(str(tmp_path)))
    check(read_graph(str(path)))


def test_strings_as_lists_of_bytes_are_read(tmp_path):
    model, shards = model_json(CONSTANTS, OPERATIONS)
    model["modelTopology"]["node"][-1]["attr"]["padding"]["s"] = list(b"SAME")
    check(read_graph(str(write_model(tmp_path, model, shards))))


def test_graph_model_is_read_from_an_address(tmp_path):
    write_model(tmp_path, *model_json(CONSTANTS, OPERATIONS))
    with served(tmp_path) as start:
        check(read_graph(f"{start}/model.json?tfjs-format=file"))
        with pytest.raises(InputError, match="other.json: cannot be read: .*404"):
            read_graph(f"{start}/other.json")
    with pytest.raises(InputError, match="cannot be read"):
        read_graph(f"{start}/model.json")


def test_frozen_graph_is_read_alone_and_from_the_zoos_archive(tmp_path):
    files = {"zoo/saved_model/saved_model.pb": b"other", "zoo/frozen_inference_graph.pb": binary()}
    for name, data in (("graph.pb", binary()), ("zoo.tar.gz", tar(files))):
        (tmp_path / name).write_bytes(data)
        check(read_graph(str(tmp_path / name)))
    assert {path.name for path in tmp_path.iterdir()} == {"graph.pb", "zoo.tar.gz"}


def test_last_value_stands_for_those_left_out(tmp_path):
    graph = graph_def(CONSTANTS)
    tensor = graph.node[0].attr["value"].tensor
    tensor.tensor_content = b""
    tensor.float_val.extend([7, 8])
    (tmp_path / "graph.pb").write_bytes(graph.SerializeToString())
    found = read_graph(str(tmp_path / "graph.pb")).constants["net/weights"]
    np.testing.assert_array_equal(found.ravel(), [7] + [8] * 23)


def test_other_types_are_left_out(tmp_path):
    graph = graph_def(CONSTANTS)
    graph.node[0].attr["value"].tensor.dtype = 7  # strings
    (tmp_path / "graph.pb").write_bytes(graph.SerializeToString())
    assert list(read_graph(str(tmp_path / "graph.pb")).constants) == ["net/shape"]


# ---------------------------------------------------------- broken graph models


def one_line(path, message, where):
    """The command says what is wrong with a file, in one line, and writes nothing."""
    out = path.with_name("weights.pth")
    with pytest.raises(InputError, match=message) as caught:
        tool("convert_weights")(path, out, "--source", "tensorflow", "--model", "mobilenetv1")
    assert "\n" not in str(caught.value) and where in str(caught.value)
    assert not out.exists()


def edit(path, value):
    """A spoiler that puts a value at a path of model.json; None takes it away."""

    def spoil(model, shards):
        holder = model
        for key in path[:-1]:
            holder = holder[key]
        if value is None:
            del holder[path[-1]]
        else:
            holder[path[-1]] = value

    return spoil


def shard(name, change):
    return lambda model, shards: shards.update({name: change(shards[name])})


WEIGHT = ("weightsManifest", 0, "weights", 0)
PATHS = ("weightsManifest", 0, "paths")
NODE = ("modelTopology", "node", 0)
DIM = (*NODE, "attr", "value", "tensor", "tensorShape", "dim", 0)
BROKEN_MODELS = {
    "truncated shard": (shard("group1-shard2", lambda data: data[:-1]), "103 bytes.* 104"),
    "longer shard": (shard("group1-shard3", lambda data: data + b"x"), "more than 24 bytes"),
    "missing shard": (edit((*PATHS, 0), "group1-shard9"), "group1-shard9: no such file"),
    "shard above": (edit((*PATHS, 0), "../group1-shard1"), "below the file's folder"),
    "shard elsewhere": (edit((*PATHS, 0), "/etc/passwd"), "below the file's folder"),
    "shard of a drive": (edit((*PATHS, 0), "C:\\shard"), "below the file's folder"),
    "shard of no name": (edit((*PATHS, 0), 3), "below the file's folder"),
    "unknown type": (edit((*WEIGHT, "dtype"), "float64"), "is float64, must be one of"),
    "other type": (edit((*WEIGHT, "dtype"), "int32"), "is float32 .*its weight int32"),
    "quantised": (edit((*WEIGHT, "quantization"), {"scale": 1}), "is quantised"),
    "other shape": (edit((*WEIGHT, "shape"), [24]), r"\(1, 2, 3, 4\), its weight .*\(24,\)"),
    "negative size": (edit((*WEIGHT, "shape"), [-1, -24]), "shape cannot be"),
    "fraction": (edit((*WEIGHT, "shape"), [1.5]), "shape cannot be"),
    "huge shape": (edit((*WEIGHT, "shape"), [2**14, 2**14]), "take 1073741832 bytes, at most"),
    "huger shape": (edit((*WEIGHT, "shape"), [2**70]), "shape cannot be"),
    "too many sizes": (edit((*WEIGHT, "shape"), [1] * 99), "shape cannot be"),
    "shape of a node": (edit((*DIM, "size"), "-2"), "shape cannot be"),
    "type of a node": (
        edit((*NODE, "attr", "dtype", "type"), float("inf")),
        "not a GraphDef: .*inf",
    ),
    "two of a name": (edit((*WEIGHT, "name"), "net/shape"), "two weights are named 'net/shape'"),
    "weight without node": (edit((*WEIGHT, "name"), "else"), "'net/weights': no weight has its"),
    "no node": (edit((*NODE,), None), "weight 'net/weights' has no node"),
    "two nodes": (edit((*NODE, "name"), "net/out"), "two nodes are named 'net/out'"),
    "bad base64": (edit((*NODE, "attr", "padding"), {"s": "SAME!"}), "not base64"),
    "no bytes": (edit((*NODE, "attr", "padding"), {"s": [999]}), "not base64"),
    "number as string": (edit((*NODE, "attr", "padding"), {"s": 3}), "'s' is 3"),
    "node of no kind": (edit((*NODE, "op"), ["Const"]), "is not a GraphDef"),
    "nodes of no kind": (edit((*NODE,), "Const"), "'attr' is None"),
    "no topology": (edit(("modelTopology",), None), "'modelTopology' is None"),
    "layers model": (edit(("modelTopology",), {"model_config": {}}), "'node' is None"),
    "no manifest": (edit(("weightsManifest",), None), "'weightsManifest' is None"),
    "no nodes": (edit(("modelTopology", "node"), []), "it has no nodes"),
}


@pytest.mark.parametrize("kind", BROKEN_MODELS)
def test_broken_graph_model_is_one_line(tmp_path, kind):
    spoil, message = BROKEN_MODELS[kind]
    model, shards = model_json(CONSTANTS, OPERATIONS)
    spoil(model, shards)
    path = write_model(tmp_path / "models", model, shards)
    (tmp_path / "group1-shard1").write_bytes(bytes(40))  # what '..' would find
    one_line(path, message, str(path.parent))


@pytest.mark.parametrize(
    "text", ["", "{", "\ufeff{}", "[" * 10**5, "9" * 10**5, "[]", "null", '"x"', "{}"]
)
def test_json_of_something_else_is_one_line(tmp_path, text):
    (tmp_path / "model.json").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="is not JSON|'modelTopology' is None"):
        read_graph(str(tmp_path))


def test_nothing_there_is_one_line(tmp_path):
    with pytest.raises(InputError, match="model.json: no such file"):
        read_graph(str(tmp_path))
    with pytest.raises(InputError, match="graph.pb: no such file"):
        read_graph(str(tmp_path / "graph.pb"))


# ------------------------------------------------------------ broken GraphDefs


def sparse(sizes):
    """An archive whose file is stored with holes, of these places and sizes."""
    headers = {"GNU.sparse.map": sizes, "GNU.sparse.size": "9", "GNU.sparse.name": "graph.pb"}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", format=tarfile.PAX_FORMAT) as archive:
        member = tarfile.TarInfo("graph.pb")
        member.pax_headers = headers
        archive.addfile(member)
    return buffer.getvalue()


def spoiled(change):
    graph = graph_def(CONSTANTS, OPERATIONS)
    change(graph.node[0].attr["value"].tensor, graph)
    return graph.SerializeToString()


def set_sizes(*sizes, values=None):
    def change(tensor, graph):
        for dim, size in zip(tensor.tensor_shape.dim, sizes, strict=True):
            dim.size = size
        if values is not None:
            tensor.tensor_content = b""
            tensor.float_val.extend(values)

    return change


BROKEN_GRAPHS = {
    "empty": (lambda: b"", "it has no nodes"),
    "cut off": (lambda: binary()[:-9], "cut off"),
    "text": (lambda: b"node { name: 'x' }", "not a GraphDef"),
    "bytes of another kind": (lambda: b"\x89PNG\r\n\x1a\n" * 9, "not a GraphDef"),
    "too few bytes": (lambda: spoiled(set_sizes(1, 2, 3, 5)), "96 bytes for the shape"),
    "no values": (lambda: spoiled(set_sizes(1, 2, 3, 4, values=[])), "0 values for the shape"),
    "too many values": (lambda: spoiled(set_sizes(1, 1, 1, 1, values=[1, 2])), "2 values for"),
    "negative": (lambda: spoiled(set_sizes(-1, 2, 3, -4)), "shape cannot be"),
    "huge": (lambda: spoiled(set_sizes(2**40, 2, 3, 4)), "shape cannot be"),
    "one value for many": (
        lambda: spoiled(set_sizes(1, 2, 2**10, 2**10, values=[1])),
        "out of proportion",
    ),
    "two nodes": (lambda: spoiled(lambda _, graph: graph.node.add(name="net/out")), "two nodes"),
    "archive without graph": (lambda: tar({"a/saved_model.pb": b"x"}), "no frozen graph"),
    "archive cut off": (lambda: tar({"a/graph.pb": binary()})[:-40], "not a readable .tar.gz"),
    "archive of zeros": (lambda: gzip.compress(bytes(2**20)), "no frozen graph"),
    "gzip of text": (lambda: gzip.compress(b"text" * 200), "not a readable .tar.gz"),
    "not gzip": (lambda: b"\x1f\x8b" + b"text" * 200, "not a readable .tar.gz"),
    "archive with holes": (lambda: sparse("0,nine"), "not a readable .tar.gz"),
    "graph cut off in it": (lambda: tar({"a/graph.pb": binary()[:-9]}), "cut off"),
}


@pytest.mark.parametrize("kind", BROKEN_GRAPHS)
def test_broken_graph_def_is_one_line(tmp_path, kind):
    make, message = BROKEN_GRAPHS[kind]
    path = tmp_path / "graph.pb"
    path.write_bytes(make())
    one_line(path, message, str(path))


def test_sizes_are_limited(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "LIMIT", 2**14)
    path = tmp_path / "graph.pb"
    for data, message in (
        (bytes(2**14 + 1), "more than 16384 bytes"),
        (tar({"a": bytes(2**20), "b/graph.pb": binary()}), "unpacks to more than"),
        (tar({"graph.pb": bytes(2**20)}), "'graph.pb' has 1048576 bytes"),
    ):
        path.write_bytes(data)
        with pytest.raises(InputError, match=message):
            read_graph(str(path))


def test_size_of_all_weights_is_limited(tmp_path, monkeypatch):
    """A file may name one shard many times."""
    model, shards = model_json(CONSTANTS, OPERATIONS)
    for name in ("a", "b"):
        weights = [dict(name=name, shape=[500], dtype="float32")]
        model["weightsManifest"].append(dict(paths=["group1-shard1"] * 50, weights=weights))
    path = write_model(tmp_path, model, shards)
    limit = path.stat().st_size
    assert 104 + 2000 < limit < 104 + 4000
    monkeypatch.setattr(sources, "LIMIT", limit)
    with pytest.raises(InputError, match=f"its weights take 2000 bytes, at most {limit - 2104}"):
        read_graph(str(path))


def test_missing_library_is_one_line(tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "tensorboard.compat.proto.graph_pb2")
    monkeypatch.setitem(sys.modules, "tensorboard.compat.proto", None)
    (tmp_path / "graph.pb").write_bytes(binary())
    with pytest.raises(InputError, match="pip install tensorboard"):
        read_graph(str(tmp_path / "graph.pb"))
