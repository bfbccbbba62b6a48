import golden
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mixnet_dense.backbones import build_classifier
from mixnet_dense.errors import InputError
from mixnet_dense.registry import MODELS
from mixnet_dense.weights import catalogue, convert, revert
from mixnet_dense.weights.assume import mismatches

# timm's name and ours of the same classification network
TIMM = {
    "mixnet_s": "mixnet_s",
    "tf_mixnet_m": "mixnet_m",
    "mobilenetv1_100": "mobilenetv1",
    "mobilenetv2_100": "mobilenetv2",
    "mobilenetv3_large_100": "mobilenetv3_large",
}
SSDLITE = "ssdlite320_mobilenet_v3_large"


@pytest.mark.parametrize("name", TIMM)
def test_every_timm_key_is_used_once(name):
    state = golden.state_dict(f"timm_{name}")
    converted = convert(state, "timm", name, classifier=True)
    build_classifier(TIMM[name]).load_state_dict(converted)
    assert sum(v.numel() for v in converted.values()) == sum(v.numel() for v in state.values())


NAMES = [
    (source, name)
    for source, names in catalogue.ORIGINS.items()
    for name in names
    if source != "tensorflow"  # see test_tensorflow_weights.py
]


def random_state(source, name):
    """Our state dict of a catalogued model, with every value drawn, batch counts included."""
    state = {}
    for key, value in catalogue.find(source, name).expected().items():
        counts = key.endswith("num_batches_tracked")
        state[key] = torch.tensor(7) if counts else torch.randn(value.shape)
    return state


@pytest.mark.parametrize(("source", "name"), NAMES)
def test_round_trip_is_exact(source, name):
    if source == "mmdet" and catalogue.find(source, name).whole:
        config = Config.fromfile("configs/ssdlite_mobilenetv2_mmdet.py")
        init_default_scope("mmdet")
        state = golden.fill(MODELS.build(config.model)).state_dict()
    elif catalogue.find(source, name).whole:
        state = convert(golden.state_dict(f"{source}_{name}"), source, name)
    else:
        state = random_state(source, name)
    theirs = revert(state, source, name)
    again = convert(theirs, source, name)
    assert list(map(str, sorted(again))) == sorted(state)
    assert all(torch.equal(again[key], state[key]) for key in state)


# Ours and theirs, where neither a recording nor an installed library has all their names.
PLACES = {
    ("torchvision", "mobilenet_v2"): {
        "blocks.0.depthwise.conv.0": "features.1.conv.0.0",
        "blocks.0.project.conv": "features.1.conv.1",
        "blocks.0.project.bn": "features.1.conv.2",
        "blocks.1.depthwise.bn": "features.2.conv.1.1",
        "blocks.1.project.bn": "features.2.conv.3",
        "last.bn": "features.18.1",
    },
    ("torchvision", "mobilenet_v3_small"): {
        "blocks.0.se.reduce": "features.1.block.1.fc1",
        "blocks.0.project.conv": "features.1.block.2.0",
        "blocks.1.project.conv": "features.2.block.2.0",  # without squeeze-and-excitation
        "blocks.3.se.expand": "features.4.block.2.fc2",
        "blocks.3.project.bn": "features.4.block.3.1",
        "last.conv": "features.12.0",
    },
    ("tonylins", "mobilenet_v2"): {
        "blocks.0.project.bn": "features.1.conv.4",
        "blocks.1.depthwise.conv.0": "features.2.conv.3",
        "blocks.1.project.bn": "features.2.conv.7",
        "last.bn": "features.18.1",
    },
    ("mmpretrain", "mobilenet_v2"): {
        "blocks.0.project.bn": "backbone.layer1.0.conv.1.bn",
        "blocks.2.expand.conv": "backbone.layer2.1.conv.0.conv",
        "last.conv": "backbone.conv2.conv",
    },
    ("mmpretrain", "mobilenet_v3_large"): {
        "blocks.0.depthwise.conv.0": "backbone.layer1.depthwise_conv.conv",
        "blocks.3.se.expand": "backbone.layer4.se.conv2.conv",
        "last.bn": "backbone.layer16.bn",
    },
}


@pytest.mark.parametrize(("source", "name"), PLACES)
def test_names_of_libraries_that_are_not_installed(source, name):
    state = random_state(source, name)
    theirs = revert(state, source, name)
    for ours, place in PLACES[source, name].items():
        assert torch.equal(theirs[f"{place}.weight"], state[f"{ours}.weight"]), place


@pytest.mark.parametrize("name", TIMM)
def test_revert_gives_timms_keys(name):
    keys = {key: tuple(shape) for key, shape in golden.record(f"timm_{name}")["keys"]}
    state = golden.state_dict(f"timm_{name}")
    theirs = revert(convert(state, "timm", name, classifier=True), "timm", name)
    assert {key: tuple(value.shape) for key, value in theirs.items()} == keys
    assert all(torch.equal(theirs[key], state[key]) for key in keys)


def test_revert_names_what_is_missing():
    state = random_state("timm", "mixnet_s")
    del state["stem.bn.bias"]
    with pytest.raises(InputError, match="1 keys missing, first 'stem.bn.bias'"):
        revert(state, "timm", "mixnet_s")
    with pytest.raises(InputError, match="not of this model"):
        revert(random_state("timm", "mixnet_m"), "timm", "mixnet_s")


def test_weights_say_what_they_assume():
    meta = catalogue.metadata("timm", "tf_mobilenetv3_small_minimal_100")
    assert meta["assumes"] == {
        "backbone": dict(
            type="mixnet_dense.MobileNetV3", arch="small_minimal", width=1.0, padding="same",
            norm_cfg=dict(eps=1e-3),
        ),
        "data_preprocessor": dict(mean=[127.5] * 3, std=[127.5] * 3, bgr_to_rgb=True),
    }  # fmt: skip
    slots = catalogue.metadata("torchvision", SSDLITE)["dataset_meta"]["classes"]
    config = Config.fromfile("configs/ssdlite_mobilenetv3_large_torchvision.py")
    assert slots == config.classes and len(slots) == 90


def test_a_config_that_differs_is_told_what_differs():
    model = Config.fromfile("configs/ssdlite_mixnet.py").model
    assumes = catalogue.metadata("timm", "mixnet_s")["assumes"]
    assert mismatches(model, assumes) == [
        "backbone.norm_cfg.eps is 0.001, the weights assume 1e-05"
    ]
    assumes = catalogue.metadata("timm", "tf_mixnet_m")["assumes"]
    assert mismatches(model, assumes) == [
        "backbone.arch is s, the weights assume m",
        "backbone.padding is symmetric, the weights assume same",
    ]
    model.data_preprocessor.bgr_to_rgb = False
    model.data_preprocessor.mean = [0, 0, 0]
    assert len(mismatches(model, assumes)) == 4


def test_keys_missing_and_left_over_are_named():
    state = golden.state_dict("timm_mixnet_s")
    with pytest.raises(InputError, match="1 keys not of this model, first 'head.weight'"):
        convert({**state, "head.weight": torch.zeros(1)}, "timm", "mixnet_s")
    del state["blocks.1.0.conv_pw.1.weight"]
    with pytest.raises(InputError, match="1 keys missing, first 'blocks.1.0.conv_pw.1.weight'"):
        convert(state, "timm", "mixnet_s")
    with pytest.raises(InputError, match="must be one of mixnet_s"):
        convert(state, "timm", "resnet18")
    with pytest.raises(InputError, match="source 'keras': must be one of timm"):
        convert(state, "keras", "mixnet_s")
