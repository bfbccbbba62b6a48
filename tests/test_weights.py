from pathlib import Path

import golden
import mmdet
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mixnet_dense.backbones import (
    MixNet,
    MobileNetV1,
    MobileNetV2,
    MobileNetV3,
    build_classifier,
    networks,
)
from mixnet_dense.errors import InputError
from mixnet_dense.registry import MODELS
from mixnet_dense.weights import catalogue, convert, revert
from mixnet_dense.weights.assume import mismatches
from mixnet_dense.weights.convert import _shapes

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
RECORDED = (
    "semnasnet_050",
    "mobilenetv2_035",
    "mobilenetv3_small_050",
    "tf_mobilenetv3_large_minimal_100",
)


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


NAMES = [(source, name) for source, names in catalogue.MODELS.items() for name in names]


def random_state(source, name):
    """Our state dict of a catalogued model, with every value drawn, batch counts included."""
    state = {}
    for key, shape in _shapes(catalogue.find(source, name)).items():
        counts = key.endswith("num_batches_tracked")
        state[key] = torch.tensor(7) if counts else torch.randn(shape)
    return state


@pytest.mark.parametrize(("source", "name"), NAMES)
def test_shapes_are_those_of_the_network(source, name):
    origin = catalogue.find(source, name)
    with torch.device("meta"):
        kind = getattr(networks, origin.kind)
        backbone = kind(origin.arch, out_taps=origin.taps, **origin.options)
    start = "backbone." if origin.whole else ""
    expected = {start + key: tuple(v.shape) for key, v in backbone.state_dict().items()}
    assert _shapes(origin) == expected


@pytest.mark.parametrize(("source", "name"), NAMES)
def test_round_trip_is_exact(source, name):
    if source == "mmdet" and catalogue.find(source, name).whole:
        state = convert(mmdet_ssdlite().state_dict(), source, name)
    elif catalogue.find(source, name).whole:
        state = convert(golden.state_dict(f"{source}_{name}"), source, name)
    else:
        state = random_state(source, name)
    theirs = revert(state, source, name)
    again = convert(theirs, source, name)
    assert list(map(str, sorted(again))) == sorted(state)
    assert all(torch.equal(again[key], state[key]) for key in state)


@pytest.mark.parametrize("name", TIMM)
def test_way_back_has_timms_keys(name):
    keys = {key: tuple(shape) for key, shape in golden.record(f"timm_{name}")["keys"]}
    state = golden.state_dict(f"timm_{name}")
    theirs = revert(convert(state, "timm", name, classifier=True), "timm", name)
    assert {key: tuple(value.shape) for key, value in theirs.items()} == keys
    assert all(torch.equal(theirs[key], state[key]) for key in keys)


def test_way_back_names_what_is_missing():
    state = random_state("timm", "mixnet_s")
    del state["stem.bn.bias"]
    with pytest.raises(InputError, match="1 keys missing, first 'stem.bn.bias'"):
        revert(state, "timm", "mixnet_s")
    with pytest.raises(InputError, match="not of this model"):
        revert(random_state("timm", "mixnet_m"), "timm", "mixnet_s")


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_parity_of_other_timm_models(name):
    """Recorded with timm 1.0.31 as ../shared/reference does, see tests/data."""
    origin, recorded = catalogue.find("timm", name), golden.record(f"timm_{name}")
    kind = getattr(networks, origin.kind)
    options = dict(origin.options, norm_cfg=dict(type="BN", eps=origin.eps), channels_last=False)
    backbone = kind(origin.arch, out_taps=("last",), **options).eval()
    backbone.load_state_dict(convert(golden.state_dict(f"timm_{name}"), "timm", name))
    with torch.no_grad():
        x = golden.image(recorded["input"])
        found = backbone(x)[0]
        exact = backbone.double()(x.double())[0]
    found, exact = found[:, ::16], exact[:, ::16]
    rounding = golden.relative_error(found, exact)
    expected = recorded["outputs"]["features_every_16"]
    assert golden.relative_error(found, expected) < max(1e-4, 2 * rounding)


def host_backbone(source, name):
    """The host's own backbone with drawn weights, and which of its outputs is our last."""
    if source == "mmdet":
        from mmdet.models.backbones import MobileNetV2 as kind

        host = kind(out_indices=(7,))
    elif name == "mobilenet_v2":
        from mmseg.models.backbones import MobileNetV2 as kind

        host = kind(out_indices=(6,))
    else:
        from mmseg.models.backbones import MobileNetV3 as kind

        arch = name.rpartition("_")[2]
        last = 16 if arch == "large" else 12
        host = kind(arch=arch, out_indices=(last,), norm_cfg=dict(type="BN", eps=1e-3))
    host.load_state_dict(
        {key: golden.weight(key, value.shape) for key, value in host.state_dict().items()}
    )
    host.eval()  # returns nothing in mmdet
    return host


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("mmdet", "mobilenet_v2"),
        ("mmseg", "mobilenet_v2"),
        ("mmseg", "mobilenet_v3_large"),
        ("mmseg", "mobilenet_v3_small"),
    ],
)
def test_hosts_backbones_compute_the_same(source, name):
    host, origin = host_backbone(source, name), catalogue.find(source, name)
    # a whole checkpoint has more than the backbone
    state = {f"backbone.{key}": value for key, value in host.state_dict().items()}
    state["decode_head.conv_seg.weight"] = torch.zeros(1)
    options = dict(origin.options, norm_cfg=dict(type="BN", eps=origin.eps), channels_last=False)
    if name == "mobilenet_v2" and source == "mmseg":
        options["output_stride"] = 32
    ours = getattr(networks, origin.kind)(origin.arch, out_taps=origin.taps, **options).eval()
    ours.load_state_dict(convert(state, source, name))
    x = golden.image((1, 3, 65, 97))
    with torch.no_grad():
        assert golden.relative_error(ours(x)[0], host(x)[0]) < 1e-4


def mmdet_ssdlite():
    """mmdet's own detector with drawn weights."""
    folder = Path(mmdet.__file__).parent / ".mim" / "configs" / "ssd"
    config = Config.fromfile(folder / "ssdlite_mobilenetv2-scratch_8xb24-600e_coco.py")
    init_default_scope("mmdet")
    detector = MODELS.build(config.model)
    state = detector.state_dict()
    detector.load_state_dict({key: golden.weight(key, v.shape) for key, v in state.items()})
    detector.eval()
    return detector


def test_whole_mmdet_ssdlite():
    theirs = mmdet_ssdlite()
    config = Config.fromfile("configs/ssdlite_mobilenetv2_mmdet.py")
    config.model.backbone.channels_last = False
    ours = MODELS.build(config.model)
    ours.load_state_dict(convert(theirs.state_dict(), "mmdet", "ssdlite_mobilenetv2"))
    ours.eval()
    x = golden.image((1, 3, 320, 320))
    with torch.no_grad():
        expected, found = (m.bbox_head(m.extract_feat(x)) for m in (theirs, ours))
    for kind in (0, 1):
        for a, b in zip(found[kind], expected[kind], strict=True):
            assert golden.relative_error(a, b) < 1e-4
    sizes = [level.shape[-2:] for level in found[0]]
    anchors = ours.bbox_head.prior_generator.anchors(sizes, (320, 320))
    grid = theirs.bbox_head.prior_generator.grid_priors(sizes, device="cpu")
    # mmdet centres the 3 x 3 map's at 53.5, 160.5, 267.5, ours at 53.3, 160.0, 266.7
    assert (anchors - torch.cat(grid)).abs().max() < 0.9


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


def torchvision_detector(state):
    config = Config.fromfile("configs/ssdlite_mobilenetv3_large_torchvision.py")
    config.model.backbone.channels_last = False
    init_default_scope(config.default_scope)
    detector = MODELS.build(config.model).eval()
    detector.load_state_dict(convert(state, "torchvision", SSDLITE))
    return detector


def torchvision_outputs(state):
    # These weights square rounding errors: float32 is 10 % off float64 on the small maps, for
    # torchvision as for us. Equal numbers need the order of sums of the recording: two threads.
    torch.set_num_threads(2)
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
    with pytest.raises(InputError, match="1 keys missing, first 'blocks.1.0.conv_pw.1.weight'"):
        convert(state, "timm", "mixnet_s")
    with pytest.raises(InputError, match="must be one of mixnet_s"):
        convert(state, "timm", "resnet18")
    with pytest.raises(InputError, match="source 'keras': must be one of timm"):
        convert(state, "keras", "mixnet_s")
