"""Forward passes equal those of timm, torchvision, mmdet and mmseg, in float64.

timm's and torchvision's outputs are recorded, see tests/data/README.md; mmdet and mmseg
compute theirs here.
"""

from pathlib import Path

import golden
import mmdet
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from recorders.timm_models import SAMPLED, WHOLE
from torch import nn

from mixnet_dense.backbones import MobileNetV3, networks
from mixnet_dense.registry import MODELS
from mixnet_dense.seg import LRASPPHead
from mixnet_dense.weights import catalogue, convert

SSDLITE, LRASPP = "ssdlite320_mobilenet_v3_large", "lraspp_mobilenet_v3_large"


def backbone_like(source, name, **options):
    """Our backbone for these weights, as the catalogue says."""
    origin = catalogue.find(source, name)
    options = dict(norm_cfg=dict(type="BN", eps=origin.eps), **origin.options) | options
    return getattr(networks, origin.kind)(origin.arch, **options)


def timm_errors(name, state):
    """Relative errors of every recorded output of a timm model."""
    recorded = golden.record(f"timm_{name}")
    backbone = backbone_like("timm", name, out_taps=("c4_expansion", "last"))
    golden.loaded(backbone, convert(state, "timm", name))
    seen = {}
    if name == "mobilenetv1_100":  # has no expansion: there it is of a depthwise convolution
        block = backbone.blocks[11].depthwise
        block.register_forward_hook(lambda module, x, out: seen.update(depthwise=out))
    with torch.no_grad():
        expansion, features = backbone(golden.image(recorded["input"]).double())
    found = {
        "c4_expansion_sample": seen.get("depthwise", expansion)[:, ::8],
        "features": features,
        "features_every_16": features[:, ::16],
    }
    return {
        key: golden.relative_error(found[key], expected)
        for key, expected in recorded["outputs"].items()
    }


@pytest.mark.parametrize("name", (*WHOLE, *SAMPLED))
def test_timm_backbones(name):
    errors = timm_errors(name, golden.state_dict(f"timm_{name}"))
    assert errors and max(errors.values()) < golden.TOLERANCE, errors


@pytest.mark.parametrize(
    "key", ["conv_stem.weight", "blocks.4.1.conv_dw.3.weight", "blocks.5.2.se.conv_reduce.bias"]
)
def test_a_changed_weight_breaks_timm_parity(key):
    state = golden.state_dict("timm_mixnet_s")
    state[key] = state[key] + 0.001
    assert timm_errors("mixnet_s", state)["features"] > 1000 * golden.TOLERANCE


def host_backbone(source, name):
    """The host's own backbone with drawn weights; its only output is our last."""
    if source == "mmdet":
        from mmdet.models.backbones import MobileNetV2

        return golden.fill(MobileNetV2(out_indices=(7,)))
    from mmseg.models.backbones import MobileNetV2, MobileNetV3

    if name == "mobilenet_v2":
        return golden.fill(MobileNetV2(out_indices=(6,)))
    arch = name.rpartition("_")[2]
    last = 16 if arch == "large" else 12
    norm_cfg = dict(type="BN", eps=1e-3)
    return golden.fill(MobileNetV3(arch=arch, out_indices=(last,), norm_cfg=norm_cfg))


@pytest.mark.parametrize(
    ("source", "name", "options"),
    [
        ("mmdet", "mobilenet_v2", {}),
        ("mmseg", "mobilenet_v2", dict(output_stride=32)),
        ("mmseg", "mobilenet_v3_large", {}),
        ("mmseg", "mobilenet_v3_small", {}),
    ],
)
def test_hosts_backbones(source, name, options):
    host = host_backbone(source, name)
    # a whole checkpoint has more than the backbone
    state = {f"backbone.{key}": value for key, value in host.state_dict().items()}
    state["decode_head.conv_seg.weight"] = torch.zeros(1)
    taps = catalogue.find(source, name).taps
    ours = backbone_like(source, name, out_taps=taps, **options)
    golden.loaded(ours, convert(state, source, name))
    x = golden.image((1, 3, 65, 97)).double()
    with torch.no_grad():
        assert golden.relative_error(ours(x)[0], host(x)[0]) < golden.TOLERANCE


def detector(config, state):
    config = Config.fromfile(config)
    init_default_scope("mmdet")
    return golden.loaded(MODELS.build(config.model), state)


def test_whole_mmdet_ssdlite():
    folder = Path(mmdet.__file__).parent / ".mim" / "configs" / "ssd"
    config = Config.fromfile(folder / "ssdlite_mobilenetv2-scratch_8xb24-600e_coco.py")
    init_default_scope("mmdet")
    theirs = golden.fill(MODELS.build(config.model))
    state = convert(theirs.state_dict(), "mmdet", "ssdlite_mobilenetv2")
    ours = detector("configs/ssdlite_mobilenetv2_mmdet.py", state)
    x = golden.image((1, 3, 320, 320)).double()
    with torch.no_grad():
        expected, found = (m.bbox_head(m.extract_feat(x)) for m in (theirs, ours))
    for kind in (0, 1):
        for a, b in zip(found[kind], expected[kind], strict=True):
            assert golden.relative_error(a, b) < golden.TOLERANCE
    sizes = [level.shape[-2:] for level in found[0]]
    anchors = ours.bbox_head.prior_generator.anchors(sizes, (320, 320))
    grid = theirs.bbox_head.prior_generator.grid_priors(sizes, device="cpu")
    # mmdet centres the 3 x 3 map's at 53.5, 160.5, 267.5, ours at 53.3, 160.0, 266.7
    assert (anchors - torch.cat(grid)).abs().max() < 0.9


def rows(maps, channels):
    """Maps (1, anchors * channels, H, W) as (1, A, channels) in torchvision's order."""
    return torch.cat([level.permute(0, 2, 3, 1).reshape(1, -1, channels) for level in maps], 1)


def torchvision_ssdlite_errors(state):
    """Relative errors of the anchors and of every recorded output of the heads."""
    recorded = golden.record(f"torchvision_{SSDLITE}")
    state = convert(state, "torchvision", SSDLITE)
    ours = detector("configs/ssdlite_mobilenetv3_large_torchvision.py", state)
    with torch.no_grad():
        features = ours.extract_feat(golden.image(recorded["input"]).double())
        scores, deltas = ours.bbox_head(features)
    assert [list(f.shape) for f in features] == recorded["feature_shapes"]
    found = dict(
        anchors=ours.bbox_head.prior_generator.anchors(
            [f.shape[-2:] for f in features], recorded["input"][-2:]
        ),
        # their background is the first class, ours the last
        cls_logits_every_16=rows(scores, 91).roll(1, -1)[:, ::16],
        bbox_regression_every_4=rows(deltas, 4)[:, ::4],
    )
    return {
        key: golden.relative_error(found[key], expected)
        for key, expected in recorded["outputs"].items()
    }


def test_whole_torchvision_ssdlite():
    errors = torchvision_ssdlite_errors(golden.state_dict(f"torchvision_{SSDLITE}"))
    assert errors.pop("anchors") < 1e-6  # theirs and ours start from float32 shapes
    assert len(errors) == 2 and max(errors.values()) < golden.TOLERANCE, errors


def test_a_changed_weight_breaks_torchvision_ssdlite():
    state = golden.state_dict(f"torchvision_{SSDLITE}")
    key = "backbone.extra.3.1.0.weight"
    state[key] = state[key] + 0.001
    errors = torchvision_ssdlite_errors(state)
    assert errors["cls_logits_every_16"] > 1000 * golden.TOLERANCE


def torchvision_lraspp_error(state):
    backbone = MobileNetV3(
        out_taps=("block3", "last"),  # the first block at stride 8
        output_stride=16,
        dilate_strided=True,
        norm_cfg=dict(type="BN", eps=1e-3),
    )
    options = dict(pool=None, gate="Sigmoid", gate_bias=False, norm_cfg=dict(type="BN"))
    head = LRASPPHead((40, 960), 128, num_classes=21, **options)
    model = nn.ModuleDict(dict(backbone=backbone, decode_head=head))
    golden.loaded(model, convert(state, "torchvision", LRASPP))
    recorded = golden.record(f"torchvision_{LRASPP}")
    x = golden.image(recorded["input"]).double()
    with torch.no_grad():
        out = head(backbone(x))
        out = nn.functional.interpolate(out, x.shape[-2:], mode="bilinear")[..., ::4, ::4]
    return golden.relative_error(out, recorded["outputs"]["out_every_4"])


def test_whole_torchvision_lraspp():
    state = golden.state_dict(f"torchvision_{LRASPP}")
    assert torchvision_lraspp_error(state) < golden.TOLERANCE
    key = "classifier.scale.1.weight"
    state[key] = state[key] + 0.001
    assert torchvision_lraspp_error(state) > 1000 * golden.TOLERANCE
