"""TensorFlow's layers as PyTorch has them, and under our names."""

import json
import math

import golden
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from lite_files import lite
from mmengine.config import Config
from mmengine.registry import init_default_scope
from running import ROOT, tool
from tensorflow_files import OTHER, as_graph, graph_def, model_json, with_norms, write_model

from mixnet_dense import checkpoints
from mixnet_dense.backbones import build_classifier
from mixnet_dense.errors import InputError
from mixnet_dense.registry import MODELS
from mixnet_dense.weights import catalogue, convert, revert
from mixnet_dense.weights.assume import mismatches
from mixnet_dense.weights.tensorflow_graph import Graph, Node, read_graph
from mixnet_dense.weights.tensorflow_rules import layers

DETECTORS = {
    "ssdlite_mobilenetv2_coco": "ssdlite_mobilenetv2_tf",
    "ssdlite_mobilenetv3_large_coco": "ssdlite_mobilenetv3_large_tf",
    "ssdlite_mobilenetv3_small_coco": "ssdlite_mobilenetv3_small_tf",
}


def detector(name):
    init_default_scope("mmdet")
    return MODELS.build(Config.fromfile(ROOT / "configs" / f"{DETECTORS[name]}.py").model)


# ---------------------------------------------------------------------- layers


def floats(*values, shape=(-1,)):
    return np.array(values, np.float32).reshape(shape)


def graph(constants, **nodes):
    return Graph({name.replace("__", "/"): node for name, node in nodes.items()}, constants)


def run(state, x, eps):
    """One channel x through scope a's convolution and batch norm."""
    y = F.conv2d(torch.full((1, 1, 1, 1), float(x)), state["a.weight"])
    keys = ("running_mean", "running_var", "weight", "bias")
    return F.batch_norm(y, *(state[f"a.bn.{key}"] for key in keys), eps=eps).flatten().tolist()


NORM = {
    "a/BatchNorm/gamma": floats(2),
    "a/BatchNorm/beta": floats(1),
    "a/BatchNorm/moving_mean": floats(3),
    "a/BatchNorm/moving_variance": floats(3.75),
}
FUSED = Node("FusedBatchNormV3", ("a/out", *NORM), 0.25)


@pytest.mark.parametrize("eps", [0.25, 1e-3])
def test_whole_batch_norm_keeps_its_epsilon(eps):
    # (5 * 1 - 3) / sqrt(3.75 + 0.25) * 2 + 1
    state, others = layers(
        graph({"a/weights": floats(5, shape=(1, 1, 1, 1)), **NORM}, n=FUSED), eps
    )
    assert run(state, 1, eps) == pytest.approx([3])
    assert others == []
    exact = torch.equal(state["a.bn.weight"], torch.tensor([2.0]))
    assert exact == (eps == 0.25)


def test_epsilon_is_found_where_batch_norm_is_not_fused():
    constants = {"a/depthwise_weights": floats(5, shape=(1, 1, 1, 1)), **NORM, "y": floats(0.25)[0]}
    nodes = dict(
        read=Node("Identity", ("a/BatchNorm/moving_variance",), None),
        add=Node("Add", ("read:0", "y"), None),
    )
    state, others = layers(graph(constants, **nodes), 1e-3)
    assert run(state, 1, 1e-3) == pytest.approx([3])
    assert others == []


def test_fused_batch_norm_without_epsilon_has_tensorflows():
    constants = {"a/weights": floats(5, shape=(1, 1, 1, 1)), **NORM}
    constants["a/BatchNorm/moving_variance"] = floats(4 - 1e-4)
    state, _ = layers(graph(constants, n=Node("FusedBatchNorm", tuple(NORM), None)), 1e-3)
    assert run(state, 1, 1e-3) == pytest.approx([3])


def test_batch_norm_as_product_and_sum():
    constants = {
        "a/depthwise_weights": floats(2, shape=(1, 1, 1, 1)),
        "a/BatchNorm/batchnorm/mul": floats(3),
        "a/BatchNorm/batchnorm/sub": floats(1),
    }
    state, _ = layers(graph(constants), 1e-3)
    assert run(state, 1, 1e-3) == pytest.approx([2 * 3 + 1])


def test_batch_norm_as_a_sum_alone():
    constants = {
        "a/Conv2D/merged_input": floats(4, shape=(1, 1, 1, 1)),
        "a/BatchNorm/batchnorm/sub": floats(5),
    }
    state, _ = layers(graph(constants), 1e-3)
    assert run(state, 1, 1e-3) == pytest.approx([4 + 5])


def test_kernels_are_turned():
    constants = {
        "full/weights": np.random.rand(3, 5, 2, 4).astype(np.float32),
        "deep/depthwise_weights": np.random.rand(3, 5, 2, 1).astype(np.float32),
        "full/biases": floats(1, 2, 3, 4),
    }
    state, _ = layers(graph(constants), 1e-3)
    assert state["full.weight"].shape == (4, 2, 3, 5)
    assert state["full.weight"][3, 1, 2, 4] == constants["full/weights"][2, 4, 1, 3]
    assert state["deep.weight"].shape == (2, 1, 3, 5)
    assert state["deep.weight"][1, 0, 2, 4] == constants["deep/depthwise_weights"][2, 4, 1, 0]
    assert state["full.bias"].tolist() == [1, 2, 3, 4]


def test_nothing_in_a_layers_scope_is_lost():
    constants = {
        "net/a/weights": floats(5, shape=(1, 1, 1, 1)),
        "net/extra": floats(1, 2),
        "net/shape": np.array([1, 2], np.int32),
        "other/anchors": floats(1, 2),
    }
    state, others = layers(graph(constants), 1e-3)
    assert list(state) == ["net/a.weight", "net/extra"]
    assert others == ["net/shape", "other/anchors"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"a/weights": np.ones((1, 1, 1, 1), np.int32)}, "'a/weights': is int32, must be float32"),
        ({"a/BatchNorm/beta": np.ones(1, np.int32)}, "beta': is int32"),
        (
            {"a/weights": floats(np.nan, shape=(1, 1, 1, 1))},
            "'a.weight': has values that are not f",
        ),
        ({"a/BatchNorm/moving_variance": floats(-0.1)}, "'a.bn.weight': has values that are not f"),
        ({"a/BatchNorm/beta": floats(1, 2)}, "a.bn: its parts have the sizes"),
    ],
)
def test_layer_that_cannot_be_is_one_line(change, message):
    constants = {"a/weights": floats(5, shape=(1, 1, 1, 1)), **NORM, **change}
    with pytest.raises(InputError, match=message):
        layers(graph(constants, n=FUSED), 1e-3)


def test_unknown_epsilon_is_one_line():
    constants = {"a/weights": floats(5, shape=(1, 1, 1, 1)), **NORM}
    with pytest.raises(InputError, match="moving_variance': no batch norm reads it"):
        layers(graph(constants), 1e-3)


# ----------------------------------------------------------------------- names


def recorded(file):
    """A real file's constants by name; all values differ, none is 0 or 1."""
    found, start = {}, 2
    for name, shape, kind in json.loads((golden.DATA / f"{file}.json").read_text())["constants"]:
        stop = start + math.prod(shape)
        found[name] = np.arange(start, stop).astype(kind).reshape(shape)
        start = stop
    assert start < 2**24  # which float32 can still tell apart
    return found


@pytest.mark.parametrize("shards", [False, True])
def test_every_tensor_of_the_real_detector_is_used_once(tmp_path, shards):
    constants = recorded("tensorflow_ssdlite_mobilenetv2_coco")
    operations = with_norms(constants)
    if shards:
        files = model_json(constants, operations, shard=2**22)
        path = write_model(tmp_path, *files)
    else:
        path = tmp_path / "graph.pb"
        path.write_bytes(graph_def(constants, operations).SerializeToString())
    tool("convert_weights")(
        path, tmp_path / "ours.pth", "--source", "tensorflow", "--model", "ssdlite_mobilenetv2_coco"
    )
    state, meta = checkpoints.read(str(tmp_path / "ours.pth"))
    detector("ssdlite_mobilenetv2_coco").load_state_dict(state)
    assert meta["dataset_meta"]["classes"][16] == "cat"
    assert meta["assumes"]["backbone"]["padding"] == "same"
    name = "FeatureExtractor/MobilenetV2/expanded_conv_13/expand/Conv2D/merged_input"
    ours = state["backbone.blocks.13.expand.conv.weight"]
    np.testing.assert_array_equal(ours, constants[name].transpose(3, 2, 0, 1))
    network = [
        array.ravel()
        for name, array in constants.items()
        if array.dtype == np.float32 and name.startswith(("FeatureExtractor/", "BoxPredictor_"))
    ]
    everything = np.concatenate([value.float().flatten().numpy() for value in state.values()])
    found, counts = np.unique(everything, return_counts=True)
    wanted = np.isin(found, np.concatenate(network))
    # all but the anchors and 37 numbers of decoding, preprocessing and shapes
    assert wanted.sum() == sum(map(len, network)) == 4_508_632 - 1917 * 4 - 37
    assert (counts[wanted] == 1).all()


def test_every_tensor_of_the_real_classifier_is_used_once(tmp_path):
    constants = recorded("tensorflow_mobilenetv1")
    operations = [
        operation
        for scope in {name.removesuffix("/moving_variance") for name in constants}
        if f"{scope}/moving_variance" in constants
        for operation in (
            (f"{scope}/read", "Identity", [f"{scope}/moving_variance"], None),
            (f"{scope}/add", "Add", [f"{scope}/read", _added(scope)], None),
        )
    ]
    for name in constants:
        if name.endswith("add/y"):
            constants[name] = np.array(1e-3, np.float32)
    path = tmp_path / "graph.pb"
    path.write_bytes(graph_def(constants, operations).SerializeToString())
    state, others = layers(read_graph(str(path)), 1e-3)
    assert others == [
        "MobilenetV1/Predictions/Reshape/shape",
        "final_training_ops/weights/final_weights",
        "final_training_ops/biases/final_biases",
    ]
    ours = convert(state, "tensorflow", "mobilenetv1", classifier=True)
    options = dict(padding="same", norm_cfg=dict(type="BN", eps=1e-3))
    build_classifier("mobilenetv1", num_classes=1001, **options).load_state_dict(ours)


def _added(scope):
    """Where that file keeps the epsilon of a batch norm."""
    return f"MobilenetV1/{scope}/batchnorm/add/y"


# Ours, and where the API's code puts it: models/ssd_mobilenet_v3_feature_extractor.py and
# slim's nets/mobilenet; of MobileNetV3 there was no file to look into.
PLACES = {
    "ssdlite_mobilenetv3_large_coco": {
        "backbone.stem.conv": "FeatureExtractor/MobilenetV3/Conv/weights",
        "backbone.blocks.0.project.conv": (
            "FeatureExtractor/MobilenetV3/expanded_conv/project/weights"
        ),
        "backbone.blocks.3.se.reduce": (
            "FeatureExtractor/MobilenetV3/expanded_conv_3/squeeze_excite/Conv/weights"
        ),
        "backbone.blocks.12.expand.conv": (
            "FeatureExtractor/MobilenetV3/expanded_conv_12/expand/weights"
        ),
        "backbone.last.conv": "FeatureExtractor/MobilenetV3/Conv_1/weights",
        "neck.extra_layers.0.0.conv": (
            "FeatureExtractor/MobilenetV3/layer_17_1_Conv2d_2_1x1_256/weights"
        ),
        "neck.extra_layers.3.1.pointwise_conv.conv": (
            "FeatureExtractor/MobilenetV3/layer_17_2_Conv2d_5_3x3_s2_128/weights"
        ),
        "bbox_head.reg_convs.5.1": "BoxPredictor_5/BoxEncodingPredictor/weights",
    },
    "ssdlite_mobilenetv3_small_coco": {
        "backbone.blocks.8.se.expand": (
            "FeatureExtractor/MobilenetV3/expanded_conv_8/squeeze_excite/Conv_1/weights"
        ),
        "neck.extra_layers.1.1.depthwise_conv.conv": (
            "FeatureExtractor/MobilenetV3/layer_13_2_Conv2d_3_3x3_s2_256_depthwise/depthwise_weights"
        ),
        "bbox_head.cls_convs.0.0.conv": "BoxPredictor_0/ClassPredictor_depthwise/depthwise_weights",
    },
}


@pytest.mark.parametrize("name", PLACES)
def test_detector_comes_back_from_a_graph_of_its_own_weights(tmp_path, name):
    ours = golden.fill(detector(name)).float().state_dict()
    constants, operations = as_graph(revert(ours, "tensorflow", name))
    for module, place in PLACES[name].items():
        size = ours[f"{module}.weight"].numel()
        assert constants[place].size == size, place
    path = tmp_path / "frozen_inference_graph.pb"
    path.write_bytes(graph_def(constants, operations).SerializeToString())
    state, others = layers(read_graph(str(path)), 1e-3)
    assert others == [OTHER]
    again = convert(state, "tensorflow", name)
    assert set(again) == set(ours)
    assert all(torch.equal(again[key], ours[key]) for key in ours)


def quantised(rng, shape, kind, largest):
    """Drawn numbers, their scale, their zero point, and the values they stand for."""
    numbers = rng.integers(0 if kind == np.uint8 else -largest, largest + 1, shape).astype(kind)
    scale = np.float32(rng.uniform(0.001, 0.1))
    zero = int(rng.integers(256)) if kind == np.uint8 else 0
    values = (numbers.astype(np.float32) - np.float32(zero)) * scale
    return numbers, [scale], [zero], torch.from_numpy(values)


def as_lite(state):
    """A TensorFlow Lite file of drawn weights for these layers, and its state dict."""
    rng = np.random.default_rng(0)
    size = np.array([33, 33], np.int32)  # of no layer
    tensors, operators, expected = [("in", None, [], []), ("size", size, [], [])], [], {}
    for key in state:
        scope = key.removesuffix(".weight")
        if scope == key or scope.endswith(".bn"):
            continue
        numbers, scale, zero, values = quantised(rng, state[key].shape, np.uint8, 255)
        expected[key] = values
        folded = f"{scope}.bn.bias" in state
        bias = f"{scope}.bn.bias" if folded else f"{scope}.bias"
        biases, bias_scale, none, expected[bias] = quantised(rng, state[bias].shape, np.int32, 9999)
        if folded:
            shift = expected[bias]
            statistics = torch.ones_like(shift), 0 * shift, (1 - 1e-3) * torch.ones_like(shift)
            names = (f"{scope}.bn.{name}" for name in ("weight", "running_mean", "running_var"))
            expected.update(zip(names, statistics, strict=True))
        depthwise = scope.endswith("/depthwise")
        numbers = numbers.transpose((1, 2, 3, 0) if depthwise else (0, 2, 3, 1))
        fake = f"{scope}/Conv2D_Fold;{scope}/weights_quant/FakeQuantWithMinMaxVars"
        name = f"{scope}/BatchNorm_Fold/bias" if folded else f"{scope}/biases"
        operators.append((4 if depthwise else 3, [0, len(tensors), len(tensors) + 1]))
        tensors += [(fake, numbers, scale, zero), (f"x/add;{name}", biases, bias_scale, none)]
    return lite(tensors, operators), expected


def test_segmenter_comes_back_from_a_lite_file_of_its_layers(tmp_path, capsys):
    config = Config.fromfile(ROOT / "configs" / "raspp_mobilenetv2_voc.py")
    init_default_scope("mmseg")
    model = MODELS.build(config.model)
    theirs = revert(model.state_dict(), "tensorflow", "deeplab_mobilenetv2_voc")
    assert {"image_pooling.weight", "aspp0.bn.bias", "logits/semantic.bias"} <= set(theirs)
    assert theirs["concat_projection.weight"].shape == (256, 512, 1, 1)
    assert theirs["MobilenetV2/expanded_conv_16/depthwise.weight"].shape == (960, 1, 3, 3)
    data, expected = as_lite(theirs)
    path = tmp_path / "deeplab.tflite"
    path.write_bytes(data)
    command(path, "deeplab_mobilenetv2_voc")
    printed = capsys.readouterr().out
    assert "left out: 1 constants" in printed and "from 272 of 272 of" in printed
    ours, meta = checkpoints.read(str(tmp_path / "out.pth"))
    model.load_state_dict(ours)
    again = revert(ours, "tensorflow", "deeplab_mobilenetv2_voc")
    assert all(torch.equal(again[key], expected[key]) for key in expected)
    assert len(expected) == 272 and len(meta["dataset_meta"]["classes"]) == 21
    assert mismatches(config.model, meta["assumes"]) == []


def test_outputs_come_in_our_order():
    names = catalogue.find("tensorflow", "ssdlite_mobilenetv2_coco").names
    rules = {rule.ours: rule for rule in names.after}
    boxes = rules["bbox_head.reg_convs.0.1"].forward([torch.arange(12)])
    assert boxes.tolist() == [1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10]  # x, y, w, h
    scores = rules["bbox_head.cls_convs.0.1"].forward([torch.arange(273)])
    assert scores[:3].tolist() == [1, 2, 3] and scores[89:93].tolist() == [90, 0, 92, 93]


# ------------------------------------------------------------------ the command


def command(path, model, *more):
    return tool("convert_weights")(
        path, path.parent / "out.pth", "--source", "tensorflow", "--model", model, *more
    )


def test_another_network_is_one_line_that_names_what_is_missing(tmp_path, capsys):
    constants = recorded("tensorflow_ssdlite_mobilenetv2_coco")
    path = tmp_path / "graph.pb"
    path.write_bytes(graph_def(constants, with_norms(constants)).SerializeToString())
    with pytest.raises(InputError, match="322 keys missing, first 'FeatureExtractor/Mobilenet"):
        command(path, "ssdlite_mobilenetv3_large_coco")
    assert not (tmp_path / "out.pth").exists()
    missing = "FeatureExtractor/MobilenetV2/Conv_1/Conv2D/merged_input"
    constants.pop(missing)
    path.write_bytes(graph_def(constants, with_norms(constants)).SerializeToString())
    with pytest.raises(InputError, match="5 keys missing, first '.*/Conv_1.weight'; 1 keys not of"):
        command(path, "ssdlite_mobilenetv2_coco")
    capsys.readouterr()


def test_graphs_are_not_written(tmp_path):
    with pytest.raises(InputError, match="TensorFlow graphs are read, not written"):
        command(tmp_path / "x.pth", "mobilenetv1", "--reverse")
