import golden
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mixnet_dense.backbones import MixNet, MobileNetV1, MobileNetV2, MobileNetV3, build_classifier
from mixnet_dense.cli import InputError
from mixnet_dense.registry import MODELS
from mixnet_dense.weights import convert

TIMM = {
    "mixnet_s": ("mixnet_s", MixNet, dict(arch="s")),
    "tf_mixnet_m": (
        "mixnet_m",
        MixNet,
        dict(arch="m", padding="same", norm_cfg=dict(type="BN", eps=1e-3)),
    ),
    "mobilenetv1_100": ("mobilenetv1", MobileNetV1, {}),
    "mobilenetv2_100": ("mobilenetv2", MobileNetV2, {}),
    "mobilenetv3_large_100": ("mobilenetv3_large", MobileNetV3, {}),
}
SSDLITE = "ssdlite320_mobilenet_v3_large"


def outputs(state_dict, name):
    """Ours in float32, what float32 rounding does to it, and the recording."""
    _, kind, arguments = TIMM[name]
    backbone = kind(**arguments, channels_last=False).eval()
    backbone.load_state_dict(convert(state_dict, "timm", name))
    recorded = golden.record(f"timm_{name}")
    x = golden.image(recorded["input"])
    with torch.no_grad():
        found = backbone(x)
        exact = backbone.double()(x.double())
    for index, (key, step) in enumerate((("c4_expansion_sample", 8), ("features", 1))):
        if key in recorded["outputs"]:
            a, b = found[index][:, ::step], exact[index][:, ::step]
            yield a, golden.relative_error(a, b), recorded["outputs"][key]


@pytest.mark.parametrize("name", TIMM)
def test_timm_forward_parity(name):
    for found, rounding, expected in outputs(golden.state_dict(f"timm_{name}"), name):
        # These weights let rounding grow through the network: timm itself, on another
        # convolution library, is up to 5e-4 from its own recording.
        assert golden.relative_error(found, expected) < max(1e-4, 2 * rounding)


@pytest.mark.parametrize(
    "key", ["conv_stem.weight", "blocks.4.1.conv_dw.3.weight", "blocks.5.2.se.conv_reduce.bias"]
)
def test_a_changed_weight_breaks_parity(key):
    state = golden.state_dict("timm_mixnet_s")
    state[key] = state[key] + 0.5
    *_, (found, rounding, expected) = outputs(state, "mixnet_s")
    assert golden.relative_error(found, expected) > 10 * max(1e-4, 2 * rounding)


@pytest.mark.parametrize("name", TIMM)
def test_every_timm_key_is_used_once(name):
    state = golden.state_dict(f"timm_{name}")
    converted = convert(state, "timm", name, classifier=True)
    build_classifier(TIMM[name][0]).load_state_dict(converted)
    assert sum(v.numel() for v in converted.values()) == sum(v.numel() for v in state.values())


def torchvision_detector(state):
    config = Config.fromfile("configs/ssdlite_mobilenetv3_large_torchvision.py")
    config.model.backbone.channels_last = False
    init_default_scope(config.default_scope)
    detector = MODELS.build(config.model).eval()
    detector.load_state_dict(convert(state, "torchvision", SSDLITE))
    return detector


def torchvision_outputs(state):
    recorded = golden.record(f"torchvision_{SSDLITE}")
    detector = torchvision_detector(state)
    with torch.no_grad():
        features = detector.extract_feat(golden.image(recorded["input"]))
        scores, deltas = detector.bbox_head(features)
        logits = detector.bbox_head._flatten(scores, 91).roll(1, -1)[:, ::16]
        regression = detector.bbox_head._flatten(deltas, 4)[:, ::4]
    assert [list(f.shape) for f in features] == recorded["feature_shapes"]
    anchors = detector.bbox_head.prior_generator.anchors(
        [f.shape[-2:] for f in features], recorded["input"][-2:]
    )
    found = dict(anchors=anchors, cls_logits_every_16=logits, bbox_regression_every_4=regression)
    return found, recorded["outputs"]


def test_whole_torchvision_ssdlite():
    found, expected = torchvision_outputs(golden.state_dict(f"torchvision_{SSDLITE}"))
    for key, value in found.items():
        assert golden.relative_error(value, expected[key]) < 1e-4, key


def test_a_changed_weight_breaks_torchvision_parity():
    state = golden.state_dict(f"torchvision_{SSDLITE}")
    key = "backbone.extra.3.1.0.weight"
    state[key] = state[key] + 0.05
    found, expected = torchvision_outputs(state)
    key = "cls_logits_every_16"
    assert golden.relative_error(found[key], expected[key]) > 1e-3


def test_keys_missing_and_left_over_are_named():
    state = golden.state_dict("timm_mixnet_s")
    with pytest.raises(InputError, match="1 keys not of this model, first 'head.weight'"):
        convert({**state, "head.weight": torch.zeros(1)}, "timm", "mixnet_s")
    del state["blocks.1.0.conv_pw.1.weight"]
    with pytest.raises(InputError, match="'blocks.1.0.conv_pw.1.weight' is missing"):
        convert(state, "timm", "mixnet_s")
    with pytest.raises(InputError, match="must be one of mixnet_s"):
        convert(state, "timm", "resnet18")
    with pytest.raises(InputError, match="source 'keras': must be one of timm"):
        convert(state, "keras", "mixnet_s")
