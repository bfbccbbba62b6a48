"""Reading TensorFlow Lite files: what is read, and that each broken file is one line."""

import sys

import numpy as np
import pytest
from lite_files import lite
from tflite import BuiltinOperator

from mixnet_dense.errors import InputError
from mixnet_dense.weights.tensorflow_graph import read_graph

CONV, DEPTHWISE, OTHER = 3, 4, BuiltinOperator.RESIZE_BILINEAR
# Four outputs, one row, two columns, three inputs.
KERNEL = np.arange(100, 124, dtype=np.uint8).reshape(4, 1, 2, 3)
CHANNELS = np.arange(18, dtype=np.uint8).reshape(1, 3, 3, 2)
TENSORS = [
    ("in", None, [0.5], [128]),
    ("net/Conv2D_Fold;net/weights_quant/FakeQuantWithMinMaxVars", KERNEL, [0.5], [120]),
    ("net/add_fold;net/BatchNorm_Fold/bias", np.array([3, -2, 0, 1], np.int32), [0.25], [0]),
    ("out/depthwise_Fold;out/weights_quant/FakeQuantWithMinMaxVars", CHANNELS, [1], [0]),
    ("out/BiasAdd;out/biases", np.array([8, 9], np.int32), [0.125], []),
    ("size", np.array([1, -1], np.int32), [], []),
]
OPERATORS = [(CONV, [0, 1, 2]), (DEPTHWISE, [0, 3, 4]), (OTHER, [0, 5])]


def read(tmp_path, data, name="model.tflite"):
    path = tmp_path / name
    path.write_bytes(data)
    return read_graph(str(path))


def changed(index, **changes):
    """The file with changes to one tensor's name, array, scales or zeros."""
    tensors = [
        dict(zip(("name", "array", "scales", "zeros"), each, strict=True)) for each in TENSORS
    ]
    tensors[index].update(changes)
    return lite([tuple(each.values()) for each in tensors], OPERATORS)


@pytest.mark.parametrize("name", ["model.tflite", "graph"])
def test_constants_are_dequantised_and_named_as_in_a_frozen_graph(tmp_path, name):
    graph = read(tmp_path, lite(TENSORS, OPERATORS), name)
    assert graph.nodes == {}
    found = dict(graph.constants)
    # rows, columns, inputs, outputs: output 1 begins at 106
    kernel = found.pop("net/weights")
    assert kernel.dtype == np.float32 and kernel.shape == (1, 2, 3, 4)
    assert kernel[0, 0, :, 1].tolist() == [-7, -6.5, -6]
    assert kernel[0, 1, 2].tolist() == [-7.5, -4.5, -1.5, 1.5]
    channels = found.pop("out/depthwise_weights")
    assert channels.shape == (3, 3, 2, 1) and channels[0, :, 1, 0].tolist() == [1, 3, 5]
    assert found.pop("net/BatchNorm/batchnorm/sub").tolist() == [0.75, -0.5, 0, 0.25]
    assert found.pop("out/biases").tolist() == [1, 1.125]
    assert found["size"].dtype == np.int32 and found.pop("size").tolist() == [1, -1]
    assert not found


def test_names_without_a_scope_stay(tmp_path):
    found = read(tmp_path, changed(1, name="kernel")).constants
    assert found["kernel"].shape == (4, 1, 2, 3)
    assert "net/add_fold;net/BatchNorm_Fold/bias" in found
    found = read(tmp_path, changed(2, name="other/BatchNorm_Fold/bias")).constants
    assert "other/BatchNorm_Fold/bias" in found and "net/weights" in found


def test_float_constants_and_convolutions_without_bias_are_read(tmp_path):
    array = np.full((4, 1, 1, 3), 0.5, np.float32)
    tensors = [TENSORS[0], (TENSORS[1][0], array, [], [])]
    for inputs in ([0, 1], [0, 1, -1]):
        found = read(tmp_path, lite(tensors, [(CONV, inputs)])).constants
        assert list(found) == ["net/weights"] and found["net/weights"].min() == 0.5


def test_other_types_are_left_out_where_no_convolution_needs_them(tmp_path):
    for array in (np.array([1], np.int64), np.array([1], np.uint8)):
        assert "size" not in read(tmp_path, changed(5, array=array)).constants


WHOLE = lite(TENSORS, OPERATORS)
BROKEN = {
    "empty": (b"", "is not a TensorFlow Lite file"),
    "another kind": (b"\x89PNG\r\n\x1a\n" * 9, "is not a TensorFlow Lite file"),
    "identifier alone": (WHOLE[:8], "is cut off or broken"),
    "first half": (WHOLE[: len(WHOLE) // 2], "is cut off or broken"),
    "last half": (WHOLE[:8] + WHOLE[len(WHOLE) // 2 :], "is cut off or broken|has no"),
    "zeros": (WHOLE[:8] + bytes(len(WHOLE)), "is cut off or broken|has no 0 among its subgraphs"),
    "ones": (WHOLE[:8] + b"\xff" * len(WHOLE), "is cut off or broken|has no 0 among its subgraphs"),
    "no tensors": (lite([], OPERATORS), "has no 1 among its tensors"),
    "no kernel": (lite(TENSORS, [(CONV, [0, 99, 2])]), "has no 99 among its tensors"),
    "no inputs": (lite(TENSORS, [(CONV, [])]), "is cut off or broken"),
    "too many tensors": (lite(TENSORS[:1] * 10_001, []), "has 10001 tensors, at most 10000"),
    "type": (changed(1, array=KERNEL.astype(np.int8)), "'net/weights': must be float32, or uint8"),
    "type of a bias": (changed(2, array=np.zeros(4, np.int64)), "batchnorm/sub': must be float32"),
    "no scale": (changed(1, scales=[]), "'net/weights': must be float32, or uint8"),
    "scales by channel": (changed(1, scales=[1] * 4, zeros=[0] * 4), "with one scale"),
    "scale of zero": (changed(1, scales=[0]), "scale 0.0 and zero point 120 cannot be"),
    "no number": (changed(1, scales=[float("nan")]), "scale nan and zero point"),
    "zero point": (changed(1, zeros=[2**40]), "zero point 1099511627776 cannot be"),
    "nine dimensions": (changed(1, array=KERNEL[(None,) * 5]), "has 9 dimensions"),
    "dimensions": (changed(1, array=KERNEL.reshape(4, 6)), "must have four dimensions, has 2"),
    "two of a name": (changed(5, name="net/weights"), "'net/weights': shares a name"),
    "name of two lines": (changed(5, name="si\nze"), "name is no text of a line"),
    "name of other bytes": (WHOLE.replace(b"size", b"\xff\xfe\xfd\xfc"), "is cut off or broken"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_file_is_one_line(tmp_path, kind):
    data, message = BROKEN[kind]
    with pytest.raises(InputError, match=message) as caught:
        read(tmp_path, data)
    assert "\n" not in str(caught.value) and "model.tflite: " in str(caught.value)


def test_shape_that_the_bytes_do_not_fill_is_one_line(tmp_path):
    sizes = np.array(KERNEL.shape, "<i4").tobytes()
    assert WHOLE.count(sizes) == 1
    for shape in ([4, 1, 2, 4], [4, 1, -2, -3], [2**30] * 4):
        with pytest.raises(InputError, match="'net/weights': 24 bytes for the shape"):
            read(tmp_path, WHOLE.replace(sizes, np.array(shape, "<i4").tobytes()))


def test_constants_hold_no_more_bytes_than_the_file(tmp_path):
    first = ("first", np.zeros(10_000, np.uint8), [], [])
    assert not read(tmp_path, lite([first], [])).constants
    with pytest.raises(InputError, match="tensor 'other': shares a name or bytes with another"):
        read(tmp_path, lite([first, ("other", 1, [], [])], []))  # the bytes of the first


@pytest.mark.parametrize("seed", range(4))
def test_spoiled_bytes_are_one_line_or_other_values(tmp_path, seed):
    rng = np.random.default_rng(seed)
    refused = 0
    for _ in range(150):
        data = np.frombuffer(WHOLE, np.uint8).copy()
        places = rng.integers(8, len(data), rng.integers(1, 8))
        data[places] = rng.choice([0, 1, 127, 128, 255], len(places))
        try:
            read(tmp_path, data.tobytes())
        except InputError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 50


def test_missing_library_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tflite", None)
    with pytest.raises(InputError, match="pip install tflite"):
        read(tmp_path, WHOLE)
