"""All networks: taps, strides, widths, keys, and how a new one comes about."""

import itertools
import json
from pathlib import Path

import pytest
import torch
from mmdet.models.necks import FPN

from mixnet_dense.backbones import MobileBackbone, arch
from mixnet_dense.backbones.classifier import NAMES, build_classifier
from mixnet_dense.backbones.tables import MNASNET, MOBILENET_V1, MOBILENET_V2, MOBILENET_V3
from mixnet_dense.registry import MODELS

TAPS = ("c2", "c3", "c4", "c5", "c4_expansion", "c3_depthwise", "last")
NETWORKS = {
    "mixnet_s": dict(type="MixNet", arch="s"),
    "mixnet_m": dict(type="MixNet", arch="m"),
    "mixnet_l": dict(type="MixNet", arch="l"),
    "mobilenetv1": dict(type="MobileNetV1"),
    "mobilenetv2": dict(type="MobileNetV2"),
    "mobilenetv3_large": dict(type="MobileNetV3", arch="large"),
    "mobilenetv3_small": dict(type="MobileNetV3", arch="small"),
    "mnasnet_a1": dict(type="MnasNet"),
}
KEYS = json.loads((Path(__file__).parent / "data" / "state_dict_keys.json").read_text())


@pytest.mark.parametrize(
    ("name", "output_stride", "width"), itertools.product(NETWORKS, (32, 16, 8), (0.35, 1.0, 1.25))
)
def test_maps_are_what_the_taps_declare(name, output_stride, width):
    options = dict(width=width, output_stride=output_stride, out_taps=TAPS)
    backbone = MODELS.build(dict(NETWORKS[name], **options)).eval()
    for shape, device in (((1, 1), "cpu"), ((33, 65), "cpu"), ((320, 320), "meta")):
        with torch.no_grad():
            maps = backbone.to(device)(torch.zeros(1, 3, *shape, device=device))
        for tap, found in zip(TAPS, maps, strict=True):
            channels, stride = backbone.taps[tap]
            assert found.shape == (1, channels, *(-(-size // stride) for size in shape)), tap


@pytest.mark.parametrize(("name", "tap"), itertools.product(NETWORKS, TAPS))
def test_gradients_reach_every_parameter(name, tap):
    backbone = MODELS.build(dict(NETWORKS[name], out_taps=(tap,), width=0.35))
    backbone(torch.randn(2, 3, 64, 64))[0].square().sum().backward()
    assert all(p.grad is not None for p in backbone.parameters())


# Tap widths that the papers and their released code name.
@pytest.mark.parametrize(
    ("name", "c4_expansion", "c3_depthwise", "last"),
    [
        ("mobilenetv1", 512, 256, 1024),
        ("mobilenetv2", 576, 192, 1280),
        ("mobilenetv3_large", 672, 120, 960),
        ("mobilenetv3_small", 288, 88, 576),
        ("mnasnet_a1", 672, 120, 1280),
        ("mixnet_s", 720, 240, 1536),
    ],
)
def test_tap_widths(name, c4_expansion, c3_depthwise, last):
    taps = MODELS.build(NETWORKS[name]).taps
    found = [taps[tap].channels for tap in ("c4_expansion", "c3_depthwise", "last")]
    assert found == [c4_expansion, c3_depthwise, last]


@pytest.mark.parametrize("name", NETWORKS)
def test_feeds_mmdets_fpn(name):
    backbone = MODELS.build(dict(NETWORKS[name], out_taps=TAPS[:4]))
    fpn = FPN([backbone.taps[tap].channels for tap in TAPS[:4]], 32, num_outs=5)
    maps = fpn(backbone(torch.zeros(1, 3, 64, 96)))
    assert [tuple(m.shape[2:]) for m in maps] == [(16, 24), (8, 12), (4, 6), (2, 3), (1, 2)]


@pytest.mark.parametrize("name", NAMES)
def test_state_dict_keys_stay(name):
    assert list(build_classifier(name).state_dict()) == KEYS[name]


def test_detection_tail_of_mobilenetv3():
    large = arch.halve_tail(MOBILENET_V3["large"])
    # table 1's last three rows: 672, 960, 960 -> 160; last 960
    assert [(b.expansion, b.out_channels) for b in large.blocks[12:]] == [
        (672, 80), (480, 80), (480, 80),
    ]  # fmt: skip
    assert large.last == 480
    assert [arch.squeeze_channels(large, b) for b in large.blocks[12:]] == [168, 120, 120]
    small = arch.halve_tail(MOBILENET_V3["small"])
    assert [b.expansion for b in small.blocks[8:]] == [288, 288, 288] and small.last == 288


def test_segmentation_tails_of_v3_and_v2_differ():
    large = arch.halve_tail_for_segmentation(MOBILENET_V3["large"])
    assert [(b.expansion, b.out_channels) for b in large.blocks[12:]] == [
        (336, 80), (480, 80), (480, 80),
    ]  # fmt: skip
    assert arch.squeeze_channels(large, large.blocks[12]) == 88
    small = arch.halve_tail_for_segmentation(MOBILENET_V3["small"])
    assert [b.expansion for b in small.blocks[8:]] == [144, 288, 288]
    assert arch.squeeze_channels(small, small.blocks[8]) == 40
    v2 = arch.halve_tail_for_segmentation(MOBILENET_V2["classification"])
    assert [(b.expansion, b.out_channels) for b in v2.blocks[13:]] == [
        (576, 80), (480, 80), (480, 80), (480, 160),
    ]  # fmt: skip


def test_expansion_rounds_the_paper_ratio_of_the_actual_input():
    blocks = arch.scale(MOBILENET_V3["large"], 0.75).blocks
    # 80 * 0.75 = 60 -> 64; 200 / 80 * 64 = 160, not round8(150) = 152
    assert (blocks[7].in_channels, blocks[7].expansion) == (64, 160)


def test_each_network_scales_its_own_way():
    v1 = arch.scale(MOBILENET_V1["v1"], 0.35)
    assert v1.stem == 11 and v1.blocks[-1].out_channels == 358  # truncated, not rounded to 8
    assert arch.scale(MOBILENET_V2["classification"], 0.5).last == 1280
    assert arch.scale(MOBILENET_V2["detection"], 0.35).last == 448
    assert arch.scale(MOBILENET_V2["classification"], 1.4).last == 1792
    assert arch.scale(MNASNET["detection"], 0.5).last == 640
    # block 3: 24 inputs times 0.25, as released and rounded to 8
    for variant, squeezed in (("classification", 6), ("detection", 8)):
        network = MNASNET[variant]
        assert arch.squeeze_channels(network, network.blocks[3]) == squeezed


def test_mobilenetv1_has_no_residual():
    backbone = MODELS.build(dict(type="MobileNetV1"))
    assert not any(block.residual for block in backbone.blocks)
    assert sum(block.residual for block in MODELS.build(dict(type="MobileNetV2")).blocks) == 10


def test_a_new_network_is_one_table():
    rows = [(16, 64, 24, 2), (24, 96, 24, 1), (24, 96, 40, 2), (40, 160, 80, 2), (80, 320, 96, 2)]
    table = arch.Network(
        name="Seventh",
        stem=16,
        blocks=tuple(
            arch.Block(in_channels=i, expansion=e, out_channels=o, stride=s, kernels=(3, 5))
            for i, e, o, s in rows
        ),
        last=384,
    )
    backbone = MobileBackbone(table, out_taps=TAPS, output_stride=16)
    maps = backbone(torch.zeros(1, 3, 64, 64))
    assert [tuple(m.shape[1:]) for m in maps] == [
        (24, 16, 16), (40, 8, 8), (80, 4, 4), (96, 4, 4), (320, 4, 4), (96, 8, 8), (384, 4, 4),
    ]  # fmt: skip
