"""TensorFlow graphs as plain data, read without TensorFlow; nothing in a file is run.

Three kinds are read: graph models of TensorFlow.js, a ``model.json`` with its shards
(https://github.com/tensorflow/tfjs/tree/master/tfjs-converter); binary GraphDefs such as
``frozen_inference_graph.pb``, alone or in the ``.tar.gz`` of TensorFlow's model zoo; and
TensorFlow Lite files, see `tflite_file`. tensorboard has the protobuf messages of the first two in
compiled form (``tensorboard.compat.proto``).
"""

import base64
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path, PurePosixPath
from urllib.parse import quote, urljoin, urlsplit

import numpy as np

from mixnet_dense.errors import InputError, first_line
from mixnet_dense.weights import sources, tflite_file

_FLOAT, _INT = 1, 3  # TensorFlow's DT_FLOAT and DT_INT32
_KINDS = {_FLOAT: np.dtype("<f4"), _INT: np.dtype("<i4")}
_ITEM_BYTES = {"float32": 4, "int32": 4, "bool": 1}  # the types of TensorFlow.js that are read


@dataclass(frozen=True)
class Node:
    """An operation: its kind, such as ``'Conv2D'``, the names of its inputs, its epsilon.

    The inputs are the names as the file has them; ``epsilon`` is None where there is none.
    """

    op: str
    inputs: tuple[str, ...]
    epsilon: float | None


@dataclass(frozen=True)
class Graph:
    """A whole graph.

    Attributes:
        nodes: by name; a TensorFlow Lite file has none.
        constants: the float32 and int32 tensors by the names of their nodes; tensors of other
            types are left out. Do not write into them.
        sha256: of the file, or of the shards one after another, in hexadecimal digits.
    """

    nodes: Mapping[str, Node]
    constants: Mapping[str, np.ndarray]
    sha256: str = ""


def read_graph(location: str) -> Graph:
    """Read a graph.

    Args:
        location: a file or an http(s) address: ``model.json``, a GraphDef, a ``.tar.gz`` with
            one, or a ``.tflite``; or a folder with a ``model.json``.

    Raises:
        InputError: the file is missing, too large, broken or of another kind, or its sizes,
            types or names contradict each other.
    """
    if not sources.is_address(location) and Path(location).expanduser().is_dir():
        location = str(Path(location) / "model.json")
    data = sources.load(location, sources.LIMIT)
    path = urlsplit(location).path if sources.is_address(location) else location
    if path.lower().endswith(".json"):
        return _from_json(location, data)
    digest = sha256(data).hexdigest()
    if path.lower().endswith(".tflite") or data[4:8] == tflite_file.IDENTIFIER:
        return Graph({}, tflite_file.read_constants(location, data), digest)
    if data.startswith(b"\x1f\x8b"):  # gzip
        data = sources.unpack(location, data)
    return replace(_from_binary(location, data), sha256=digest)


# -------------------------------------------------------------------- GraphDef


def _messages():
    """The compiled messages, and the errors of their parsers."""
    try:
        from google.protobuf import json_format, message
        from tensorboard.compat.proto import graph_pb2
    except ImportError as error:
        raise InputError(
            f"TensorFlow graphs need tensorboard ({error}); run: pip install tensorboard"
        ) from error
    return graph_pb2.GraphDef, json_format, message.DecodeError


def _from_binary(location: str, data: bytes) -> Graph:
    message, _, DecodeError = _messages()
    graph = message()
    try:
        graph.ParseFromString(data)
    except DecodeError as error:
        reason = f"is not a GraphDef, or is cut off: {first_line(error)}"
        raise InputError(f"{location}: {reason}") from error
    nodes = _nodes(location, graph.node)
    constants, spare = {}, len(data)
    for node in graph.node:
        tensor = node.attr["value"].tensor
        if node.op == "Const" and tensor.dtype in _KINDS:
            where = f"{location}: constant '{node.name}'"
            values, shape = _stored(where, tensor)
            repeated = math.prod(shape) - len(values)
            spare -= repeated
            if spare < 0:
                raise InputError(f"{where}: shape {shape} is out of proportion to the file")
            if repeated:
                values = np.pad(values, (0, repeated), mode="edge")
            constants[node.name] = values.reshape(shape)
    return Graph(nodes, constants)


def _stored(where: str, tensor) -> tuple[np.ndarray, tuple[int, ...]]:
    """The stored values of a TensorProto, and its shape; the last value may be repeated."""
    shape, kind = _sizes(where, tensor), _KINDS[tensor.dtype]
    count, content = math.prod(shape), tensor.tensor_content
    if content:
        if len(content) != count * kind.itemsize:
            raise InputError(f"{where}: {len(content)} bytes for the shape {shape}")
        return np.frombuffer(content, kind), shape
    values = np.array(tensor.float_val if tensor.dtype == _FLOAT else tensor.int_val, kind)
    if not min(count, 1) <= len(values) <= count:
        raise InputError(f"{where}: {len(values)} values for the shape {shape}")
    return values, shape


def _sizes(where: str, tensor) -> tuple[int, ...]:
    return _shape(where, [dim.size for dim in tensor.tensor_shape.dim])


def _nodes(location: str, nodes: Sequence) -> dict[str, Node]:
    found = {}
    for node in nodes:
        if node.name in found:
            raise InputError(f"{location}: two nodes are named '{node.name}'")
        epsilon = node.attr["epsilon"].f if "epsilon" in node.attr else None
        found[node.name] = Node(node.op, tuple(node.input), epsilon)
    if not found:
        raise InputError(f"{location}: is not a GraphDef: it has no nodes")
    return found


# --------------------------------------------------------------- TensorFlow.js


def _from_json(location: str, data: bytes) -> Graph:
    try:
        model = json.loads(data)
        json.dumps(model, ensure_ascii=False).encode()  # no lone surrogates
    except (ValueError, RecursionError) as error:
        raise InputError(f"{location}: is not JSON: {first_line(error)}") from error
    topology = _field(location, model, "modelTopology", dict)
    for node in _field(location, topology, "node", list):
        _encode_strings(location, node)
    message, json_format, _ = _messages()
    try:
        graph = json_format.ParseDict(topology, message(), ignore_unknown_fields=True)
    except (json_format.ParseError, OverflowError) as error:  # the latter of infinite numbers
        raise InputError(f"{location}: is not a GraphDef: {first_line(error)}") from error
    constants, digest, spare = {}, sha256(), sources.LIMIT
    for group in _field(location, model, "weightsManifest", list):
        for name, array in _group(location, group, digest, spare):
            if name in constants:
                raise InputError(f"{location}: two weights are named '{name}'")
            constants[name] = array
            spare -= array.nbytes
    nodes = _nodes(location, graph.node)
    for node in graph.node:
        tensor = node.attr["value"].tensor
        if node.op == "Const" and tensor.dtype in _KINDS:
            _compare(f"{location}: constant '{node.name}'", tensor, constants.get(node.name))
    for name in constants:
        if name not in nodes:
            raise InputError(f"{location}: weight '{name}' has no node")
    constants = {name: array for name, array in constants.items() if array.dtype != bool}
    return Graph(nodes, constants, digest.hexdigest())


def _encode_strings(location: str, node) -> None:
    """Convert string attributes to base64 if the file lists their bytes; check the others."""
    for name, value in _field(location, node, "attr", dict, {}).items():
        text = _field(location, value, "s", (str, list), "")
        try:
            if isinstance(text, list):
                value["s"] = base64.b64encode(bytes(text)).decode()
            base64.b64decode(value.get("s", ""), validate=True)
        except (ValueError, TypeError) as error:
            where = f"{location}: attribute '{name}' of a node"
            raise InputError(f"{where} is not base64: {first_line(error)}") from error


def _group(location: str, group, digest, spare: int) -> Iterator[tuple[str, np.ndarray]]:
    """The weights of a group of shards, by name, in ``spare`` bytes; ``digest`` takes them up."""
    entries = []
    for weight in _field(location, group, "weights", list):
        name, kind = (_field(location, weight, key, str) for key in ("name", "dtype"))
        where = f"{location}: weight '{name}'"
        if kind not in _ITEM_BYTES or "quantization" in weight:
            kind = "quantised" if "quantization" in weight else kind
            raise InputError(f"{where}: is {kind}, must be one of {', '.join(_ITEM_BYTES)}")
        shape = _shape(where, _field(where, weight, "shape", list))
        entries.append((name, shape, np.dtype(kind).newbyteorder("<")))
    wanted = sum(math.prod(shape) * kind.itemsize for _, shape, kind in entries)
    if wanted > spare:
        raise InputError(f"{location}: its weights take {wanted} bytes, at most {spare}")
    data, progress = bytearray(), sources.megabytes(wanted)
    for path in _field(location, group, "paths", list):
        data += sources.load(_beside(location, path), wanted - len(data), progress)
    if len(data) != wanted:
        raise InputError(f"{location}: its shards have {len(data)} bytes, its weights {wanted}")
    digest.update(data)
    start = 0
    for name, shape, kind in entries:
        count = math.prod(shape)
        yield name, np.frombuffer(data, kind, count, start).reshape(shape)
        start += count * kind.itemsize


def _beside(location: str, path) -> str:
    """A shard's location: in the folder of ``model.json``, never above it."""
    parts = PurePosixPath(path).parts if isinstance(path, str) else ()
    if not parts or parts[0] == "/" or ".." in parts or set(path) & set("\\:"):
        raise InputError(f"{location}: shard {path!r}: must be a path below the file's folder")
    if sources.is_address(location):
        return urljoin(location, quote(path))
    return str(Path(location).parent / path)


def _compare(where: str, tensor, array: np.ndarray | None) -> None:
    """Check that a node and the weight of its name agree."""
    shape = _sizes(where, tensor)
    if array is None:
        raise InputError(f"{where}: no weight has its name")
    if (array.dtype, array.shape) != (_KINDS[tensor.dtype], shape):
        raise InputError(
            f"{where}: is {_KINDS[tensor.dtype].name} {shape}, its weight {array.dtype.name} "
            f"{array.shape}"
        )


# ---------------------------------------------------------------------- checks


def _field(where: str, holder, name: str, kind, default=None):
    """``holder[name]`` or the default; it must have the type ``kind``."""
    value = holder.get(name, default) if isinstance(holder, dict) else None
    if not isinstance(value, kind):
        raise InputError(f"{where}: '{name}' is {_short(value)}, not as in a graph model")
    return value


def _shape(where: str, sizes: Sequence) -> tuple[int, ...]:
    """Sizes as a shape: whole numbers from 0 up, at most 32 of them."""
    good = all(type(size) is int and 0 <= size <= sources.LIMIT for size in sizes)
    if not good or len(sizes) > 32 or math.prod(sizes) > sources.LIMIT:
        raise InputError(f"{where}: its shape cannot be {_short(list(sizes))}")
    return tuple(sizes)


def _short(value) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
