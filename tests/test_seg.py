import golden
import pytest
import torch
from torch import nn

from mixnet_dense.backbones import MobileNetV2, MobileNetV3
from mixnet_dense.complexity import analyse
from mixnet_dense.seg import LRASPPHead, RASPPHead
from mixnet_dense.seg.heads import pool_whole_or_window
from mixnet_dense.weights import convert

LOW = ("c3_depthwise", "last")


def segmenter(backbone, kind, channels, **options):
    widths = tuple(backbone.taps[name].channels for name in backbone.out_taps)
    head = kind(widths if kind is LRASPPHead else widths[0], channels, num_classes=19, **options)
    return nn.Sequential(backbone, head)


# MobileNetV3 table 7, rows 1, 5 and 8, and table 8: counted from the paper by formulas.
@pytest.mark.parametrize(
    ("kind", "options", "head", "channels", "shape", "expected"),
    [
        (MobileNetV2, dict(out_taps=("c5",)), RASPPHead, 256, (1025, 2049),
         (2113043, 2079955, 21233054912)),
        (MobileNetV3, dict(out_taps=("last",)), RASPPHead, 256, (1025, 2049),
         (3600963, 3575027, 18155973384)),
        (MobileNetV3, dict(out_taps=LOW, reduced_tail="segmentation"), LRASPPHead, 128,
         (1025, 2049), (1507198, 1489166, 9533209824)),
        (MobileNetV3, dict(out_taps=LOW, reduced_tail="segmentation", output_stride=32),
         LRASPPHead, 128, (1025, 2049), (1507198, 1489166, 7582881504)),
        (MobileNetV3, dict(arch="small", out_taps=LOW, reduced_tail="segmentation"),
         LRASPPHead, 128, (513, 1025), (468830, 460206, 707927104)),
    ],
)  # fmt: skip
def test_costs_are_exact(kind, options, head, channels, shape, expected):
    model = segmenter(kind(**{"output_stride": 16, **options}), head, channels)
    if head is LRASPPHead and options.get("output_stride") == 32:
        model[1].pool, model[1].pool_stride = 25, (4, 5)
    assert analyse(model, shape).cost == expected


def test_pooling_window_larger_than_the_map_takes_all_of_it():
    x = torch.arange(24.0).reshape(1, 1, 4, 6)
    assert pool_whole_or_window(x, 49, (16, 20)).tolist() == [[[[11.5]]]]
    assert pool_whole_or_window(x, None, (16, 20)).tolist() == [[[[11.5]]]]
    # rows whole, columns in windows of 5: the mean of columns 0 to 4
    wide = torch.arange(6.0).repeat(1, 1, 4, 1)
    assert pool_whole_or_window(wide, 5, (1, 1)).tolist() == [[[[2.0, 3.0]]]]
    # a stride of 3 leaves columns 3 to 5 for the second window
    assert pool_whole_or_window(wide, 5, (1, 3)).tolist() == [[[[2.0, 4.0]]]]


@pytest.mark.parametrize("shape", [(1, 1), (31, 47), (129, 161)])
@pytest.mark.parametrize("kind", [LRASPPHead, RASPPHead])
@pytest.mark.parametrize("training", [True, False])
def test_one_image_of_any_size(shape, kind, training):
    taps = LOW if kind is LRASPPHead else ("last",)
    backbone = MobileNetV3("small", out_taps=taps, output_stride=16)
    model = segmenter(backbone, kind, 32).train(training)
    out = model(torch.randn(1, 3, *shape))
    stride = 8 if kind is LRASPPHead else 16
    assert out.shape == (1, 19, *(-(-size // stride) for size in shape))
    if training:  # the pooled branch and small maps: batch norm over a single value
        out.square().mean().backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def torchvision_output(state):
    backbone = MobileNetV3(
        out_taps=("block3", "last"),  # the first block at stride 8
        output_stride=16,
        dilate_strided=True,
        norm_cfg=dict(type="BN", eps=1e-3),
        channels_last=False,
    )
    options = dict(pool=None, gate="Sigmoid", gate_bias=False, norm_cfg=dict(type="BN"))
    head = LRASPPHead((40, 960), 128, num_classes=21, **options)
    model = nn.ModuleDict(dict(backbone=backbone, decode_head=head)).eval()
    model.load_state_dict(convert(state, "torchvision", "lraspp_mobilenet_v3_large"))
    shape = golden.record("torchvision_lraspp_mobilenet_v3_large")["input"]
    with torch.no_grad():
        out = model["decode_head"](model["backbone"](golden.image(shape)))
        return nn.functional.interpolate(out, shape[-2:], mode="bilinear")[..., ::4, ::4]


def test_whole_torchvision_lraspp():
    state = golden.state_dict("torchvision_lraspp_mobilenet_v3_large")
    expected = golden.record("torchvision_lraspp_mobilenet_v3_large")["outputs"]["out_every_4"]
    assert golden.relative_error(torchvision_output(state), expected) < 1e-4
    state["classifier.scale.1.weight"] = state["classifier.scale.1.weight"] + 0.05
    assert golden.relative_error(torchvision_output(state), expected) > 1e-3
