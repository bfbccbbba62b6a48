"""Small TensorFlow graphs in files, written without TensorFlow."""

import json

import numpy as np
from google.protobuf import json_format
from tensorboard.compat.proto.graph_pb2 import GraphDef

_TYPES = {np.dtype("float32"): 1, np.dtype("int32"): 3}


def graph_def(constants, operations=()):
    """A GraphDef of arrays by name, and of operations: name, kind, inputs, epsilon or None."""
    graph = GraphDef()
    for name, array in constants.items():
        node = graph.node.add(name=name, op="Const")
        node.attr["dtype"].type = _TYPES[array.dtype]
        tensor = node.attr["value"].tensor
        tensor.dtype = _TYPES[array.dtype]
        for size in array.shape:
            tensor.tensor_shape.dim.add(size=size)
        tensor.tensor_content = array.tobytes()
    for name, kind, inputs, epsilon in operations:
        node = graph.node.add(name=name, op=kind, input=inputs)
        node.attr["padding"].s = b"SAME"
        if epsilon is not None:
            node.attr["epsilon"].f = epsilon
    return graph


def model_json(constants, operations=(), shard=40):
    """What a graph model of TensorFlow.js has in model.json, and its shards by name."""
    graph = graph_def(constants, operations)
    for node in graph.node:
        node.attr["value"].tensor.tensor_content = b""
    data = b"".join(array.tobytes() for array in constants.values())
    shards = {
        f"group1-shard{start // shard + 1}": data[start : start + shard]
        for start in range(0, len(data), shard)
    }
    weights = [
        dict(name=name, shape=list(array.shape), dtype=array.dtype.name)
        for name, array in constants.items()
    ]
    return dict(
        modelTopology=json.loads(json_format.MessageToJson(graph)),
        weightsManifest=[dict(paths=list(shards), weights=weights)],
    ), shards


def write_model(folder, model, shards):
    """Write `model_json`'s result; returns the path of model.json."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in shards.items():
        (folder / name).write_bytes(data)
    path = folder / "model.json"
    path.write_text(json.dumps(model), encoding="utf-8")
    return path
