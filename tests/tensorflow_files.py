"""Small TensorFlow graphs in files, written without TensorFlow."""

import json
import threading
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
from google.protobuf import json_format
from tensorboard.compat.proto.graph_pb2 import GraphDef

OTHER = "Preprocessor/mul/x"  # a constant of no layer
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


def with_norms(constants):
    """Operations that read the whole batch norms among constants, with the epsilon 1e-3."""
    return [
        (f"{name}/read", "FusedBatchNorm", ["x", name], 1e-3)
        for name in constants
        if name.endswith("/moving_variance")
    ]


def as_graph(state):
    """Layers as a frozen graph of the model zoo has them: whole batch norms."""
    constants = {OTHER: np.array(2, np.float32)}
    norms = dict(weight="gamma", bias="beta", running_mean="moving_mean")
    norms["running_var"] = "moving_variance"
    for key, value in state.items():
        scope, _, tensor = key.rpartition(".")
        if scope.endswith(".bn"):
            if tensor in norms:
                name = f"{scope.removesuffix('.bn')}/BatchNorm/{norms[tensor]}"
                constants[name] = value.numpy()
        elif tensor == "bias":
            constants[f"{scope}/biases"] = value.numpy()
        elif value.shape[1] == 1 and scope.endswith("depthwise"):
            constants[f"{scope}/depthwise_weights"] = value.permute(2, 3, 0, 1).numpy()
        else:
            constants[f"{scope}/weights"] = value.permute(2, 3, 1, 0).numpy()
    return constants, with_norms(constants)


@contextmanager
def served(folder, handler=SimpleHTTPRequestHandler):
    """The address where a server of this machine has the files of a folder."""

    class Quiet(handler):
        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
