"""The constants of TensorFlow Lite files (.tflite), dequantised; nothing in a file is run.

The package tflite has the accessors of the schema,
https://github.com/tensorflow/tensorflow/blob/master/tensorflow/compiler/mlir/lite/schema/schema.fbs
"""

import math
import re
import struct
from collections.abc import Iterator

import numpy as np

from mixnet_dense.errors import InputError, first_line

IDENTIFIER = b"TFL3"  # bytes 4 to 8 of every file
_KINDS = {0: np.dtype("<f4"), 2: np.dtype("<i4"), 3: np.dtype("u1")}  # by TensorType
_KERNELS = {3: "weights", 4: "depthwise_weights"}  # of CONV_2D and DEPTHWISE_CONV_2D
_COUNT, _DIMENSIONS = 10_000, 8  # tensors, operators and so on at most; dimensions at most
# What the accessors and numpy raise where a file's offsets and lengths lead out of it.
_ERRORS = (AttributeError, LookupError, OverflowError, TypeError, ValueError, struct.error)


def read_constants(location: str, data: bytes) -> dict[str, np.ndarray]:
    """The constants of a file, as a frozen graph of the same network has them.

    Quantised ones become ``(q - zero_point) * scale``, float32. The kernels of convolutions get
    the layout and the names of a graph, ``SCOPE/weights`` (rows, columns, inputs, outputs) and
    ``SCOPE/depthwise_weights`` (rows, columns, channels, 1). A bias that was a batch norm's is
    ``SCOPE/BatchNorm/batchnorm/sub``, any other ``SCOPE/biases``. Where a name does not tell the
    scope, and for all other constants, it is the file's own.

    Args:
        location: of the file, for messages.
        data: its bytes.

    Raises:
        InputError: the file is broken or of another kind, or a kernel or bias is quantised in
            another way or contradicts its shape.
    """
    try:
        import tflite
    except ImportError as error:
        raise InputError(
            f"TensorFlow Lite files need tflite ({error}); run: pip install tflite"
        ) from error
    if data[4:8] != IDENTIFIER:
        raise InputError(f"{location}: is not a TensorFlow Lite file: no {IDENTIFIER.decode()}")
    try:
        return dict(_constants(tflite.Model.GetRootAs(data), len(data)))
    except InputError as error:
        raise InputError(f"{location}: {error}") from error
    except _ERRORS as error:
        raise InputError(f"{location}: is cut off or broken: {first_line(error)}") from error


def _constants(model, size: int) -> Iterator[tuple[str, np.ndarray]]:
    """Names and arrays; ``size`` bytes of a file hold at most as many bytes of constants."""
    graph = _item(model, "Subgraphs", 0)
    names, found = _names(model, graph), set()
    for index in range(_length(graph, "Tensors")):
        tensor = graph.Tensors(index)
        data = _item(model, "Buffers", tensor.Buffer()).DataAsNumpy()
        if isinstance(data, int) or not len(data):
            continue  # computed, not stored
        size -= len(data)
        name = names.get(index, _name(tensor))
        if size < 0 or name in found:
            raise InputError(f"tensor '{name}': shares a name or bytes with another")
        found.add(name)
        values = _values(name, tensor, data, needed=index in names)
        if values is not None:
            yield name, values


def _names(model, graph) -> dict[int, str]:
    """The names in a frozen graph of kernels and biases, by their numbers."""
    found = {}
    for index in range(_length(graph, "Operators")):
        operator = graph.Operators(index)
        code = _item(model, "OperatorCodes", operator.OpcodeIndex())
        kind = _KERNELS.get(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()))
        if kind is None:
            continue
        kernel, *bias = (n for n in operator.InputsAsNumpy()[1:].tolist() if n >= 0)  # -1: none
        own = _name(_item(graph, "Tensors", kernel))
        scope = re.search(r"([^;]+)/weights_quant/", own)
        found[kernel] = f"{scope[1]}/{kind}" if scope else own
        for number in bias if scope else ():
            own = _name(_item(graph, "Tensors", number))
            folded = f"{scope[1]}/BatchNorm_Fold/bias" in own.split(";")
            plain = f"{scope[1]}/biases" in own.split(";")
            suffix = "BatchNorm/batchnorm/sub" if folded else "biases"
            found[number] = f"{scope[1]}/{suffix}" if folded or plain else own
    return found


def _values(name: str, tensor, data: np.ndarray, needed: bool) -> np.ndarray | None:
    """A tensor's values, kernels transposed; None for types that are not read."""
    kind, scale, zero = _KINDS.get(tensor.Type()), 1.0, 0
    quantisation = tensor.Quantization()
    scales = quantisation.ScaleLength() if quantisation else 0
    if kind is None or scales > 1 or (kind == np.uint8 and not scales):
        if needed:
            raise InputError(f"tensor '{name}': must be float32, or uint8 or int32 with one scale")
        return None
    if tensor.ShapeLength() > _DIMENSIONS:
        raise InputError(f"tensor '{name}': has {tensor.ShapeLength()} dimensions")
    shape = tuple(tensor.ShapeAsNumpy().tolist()) if tensor.ShapeLength() else ()
    if min(shape, default=0) < 0 or math.prod(shape) * kind.itemsize != len(data):
        raise InputError(f"tensor '{name}': {len(data)} bytes for the shape {shape}")
    values = np.frombuffer(data, kind).reshape(shape)
    if scales:
        scale = quantisation.Scale(0)
        zero = quantisation.ZeroPoint(0) if quantisation.ZeroPointLength() else 0
        if not 0 < scale < math.inf or not 0 <= zero < 256:
            raise InputError(f"tensor '{name}': scale {scale} and zero point {zero} cannot be")
        values = (values.astype(np.float32) - np.float32(zero)) * np.float32(scale)
    if needed and name.endswith("weights"):
        if len(shape) != 4:
            raise InputError(f"tensor '{name}': must have four dimensions, has {len(shape)}")
        values = values.transpose(1, 2, 3, 0)
    return values


def _name(tensor) -> str:
    name = (tensor.Name() or b"").decode()
    if not name.isprintable() or len(name) > 1000:
        raise InputError("a tensor's name is no text of a line")
    return name


def _length(holder, kind: str) -> int:
    count = getattr(holder, f"{kind}Length")()
    if count > _COUNT:
        raise InputError(f"has {count} {kind.lower()}, at most {_COUNT} are read")
    return count


def _item(holder, kind: str, index: int):
    """An item of a vector; the accessors themselves do not check the index."""
    if not 0 <= index < _length(holder, kind):
        raise InputError(f"has no {index} among its {kind.lower()}")
    return getattr(holder, kind)(index)
