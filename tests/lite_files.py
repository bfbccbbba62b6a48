"""Small TensorFlow Lite files, written without TensorFlow."""

import flatbuffers
import numpy as np
import tflite

_TYPES = {"float32": 0, "int32": 2, "uint8": 3, "int64": 4, "int8": 9}


def lite(tensors, operators):
    """A TensorFlow Lite file's bytes.

    Args:
        tensors: name, array, scales, zero points. The array is None for a tensor that is computed,
            and a number for the bytes of an earlier array, counted from 1.
        operators: code of `tflite.BuiltinOperator`, numbers of the input tensors.
    """
    builder = flatbuffers.Builder()
    codes = sorted({code for code, _ in operators})
    buffers = [_table(builder, "Buffer")]  # the first is empty
    rows = []
    for name, array, scales, zeros in tensors:
        fields = dict(Name=builder.CreateString(name))
        if isinstance(array, int):
            fields["Buffer"] = array
        elif array is not None:
            data = builder.CreateByteVector(np.ascontiguousarray(array).tobytes())
            fields["Buffer"] = len(buffers)
            buffers.append(_table(builder, "Buffer", Data=data))
            fields["Type"] = _TYPES[array.dtype.name]
            fields["Shape"] = builder.CreateNumpyVector(np.array(array.shape, np.int32))
        if scales:
            fields["Quantization"] = _table(
                builder,
                "QuantizationParameters",
                Scale=builder.CreateNumpyVector(np.array(scales, np.float32)),
                ZeroPoint=builder.CreateNumpyVector(np.array(zeros, np.int64)),
            )
        rows.append(_table(builder, "Tensor", **fields))
    steps = [
        _table(
            builder,
            "Operator",
            OpcodeIndex=codes.index(code),
            Inputs=builder.CreateNumpyVector(np.array(inputs, np.int32)),
        )
        for code, inputs in operators
    ]
    kinds = [_table(builder, "OperatorCode", DeprecatedBuiltinCode=code) for code in codes]
    graph = _table(
        builder, "SubGraph", Tensors=_tables(builder, rows), Operators=_tables(builder, steps)
    )
    model = _table(
        builder,
        "Model",
        Version=3,
        OperatorCodes=_tables(builder, kinds),
        Subgraphs=_tables(builder, [graph]),
        Buffers=_tables(builder, buffers),
    )
    builder.Finish(model, b"TFL3")
    return bytes(builder.Output())


def _table(builder, kind, **fields):
    getattr(tflite, f"{kind}Start")(builder)
    for name, value in fields.items():
        getattr(tflite, f"{kind}Add{name}")(builder, value)
    return getattr(tflite, f"{kind}End")(builder)


def _tables(builder, offsets):
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return builder.EndVector()
