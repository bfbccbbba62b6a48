"""Proposals of smaller tables, and weights carried over to them."""

import pytest
import torch
from running import TINY_SEGMENTER

from mixnet_dense.adapt.carry import carry_over
from mixnet_dense.adapt.proposals import (
    STEM,
    bottleneck_cuts,
    expansion_cuts,
    kept_channels,
    propose,
    shared_bottlenecks,
    snapped,
    with_bottleneck,
    with_expansion,
    with_fewer_kernels,
)
from mixnet_dense.backbones import MixNet, MobileNetV3
from mixnet_dense.backbones.arch import squeeze_channels
from mixnet_dense.backbones.tables import MIXNET, MOBILENET_V3
from mixnet_dense.benchmark.subjects import build
from mixnet_dense.registry import MODELS

S, LARGE = MIXNET["s"], MOBILENET_V3["large"]


def test_residuals_share_a_bottleneck():
    # table 1 of MobileNetV3: the first bottleneck adds to the stem
    assert shared_bottlenecks(LARGE) == [
        [STEM, 0], [1, 2], [3, 4, 5], [6, 7, 8, 9], [10, 11], [12, 13, 14]
    ]  # fmt: skip
    assert shared_bottlenecks(S)[2:5] == [[3, 4, 5, 6], [7, 8, 9], [10, 11, 12]]


def test_a_smaller_bottleneck_changes_all_blocks_that_share_it_and_the_next_input():
    blocks = with_bottleneck(LARGE, [3, 4, 5], 32).blocks
    assert [(b.in_channels, b.expansion, b.out_channels) for b in blocks[3:7]] == [
        (24, 72, 32), (32, 120, 32), (32, 120, 32), (32, 240, 80)
    ]  # fmt: skip
    assert [b.residual for b in blocks] == [b.residual for b in LARGE.blocks]


def test_a_bottleneck_that_would_add_a_residual_is_no_proposal():
    # 120 channels of block 10, which reads 80 at stride 1
    assert with_bottleneck(S, [10, 11, 12], 80) is None
    assert with_bottleneck(S, [10, 11, 12], 72) is not None


def test_an_expansion_as_narrow_as_its_input_is_no_proposal():
    assert with_expansion(LARGE, 1, 16) is None  # then it had no expansion convolution
    assert with_expansion(LARGE, 0, 8) is None  # it has none
    assert with_expansion(LARGE, 1, 24).blocks[1].expansion == 24


def test_kernels_and_multiples_of_8():
    assert with_fewer_kernels(S, 3, 2).blocks[3].kernels == (3, 5)
    assert list(snapped(40)) == [32, 24, 16, 8] and list(snapped(35)) == [32, 24, 16, 8]
    assert list(snapped(20, 5)) == [15, 10, 5] and not list(snapped(8))


def test_a_table_that_saves_enough_is_proposed_after_few_measurements():
    sizes = []

    def size(network):
        sizes.append(sum(b.expansion * len(b.kernels) + b.out_channels for b in network.blocks))
        return sizes[-1]

    limit = size(S) - 20
    found = {p.what: p.network for p in propose(S, size, limit)}
    assert len(sizes) < 3 * len(found)
    assert all(size(network) <= limit for network in found.values())
    assert "block 3: expansion 144 to 136" in found  # three kernel sizes: 8 channels save 24
    assert "block 3: kernels (3, 5, 7) to (3, 5)" in found
    # two outputs share it, and 8 channels less would save 16
    assert "bottleneck of 1, 2: 24 to 8" in found
    assert not [what for what in found if what.startswith("block 0: exp")]


def test_the_most_important_channels_of_each_group_are_kept():
    assert kept_channels([1, 5, 3, 9, 8, 7], (6,), (4,)) == [1, 3, 4, 5]
    assert kept_channels([1, 5, 3, 9, 8, 7], (3, 6), (2, 4)) == [1, 2, 3, 4]
    assert kept_channels([1, 1, 1], (3,), (2,)) == [0, 1]
    block = with_expansion(S, 7, 120).blocks[7]  # kernels 3, 5, 7 and projection in two groups
    assert expansion_cuts(block) == [0, 40, 60, 80, 120]
    assert bottleneck_cuts(S, [4], 40) == [0, 20, 40]


def randomised(model, seed=0):
    """Random statistics and weights of batch norm, too."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            spread = torch.rand(value.shape, generator=generator, dtype=torch.float64)
            value.copy_(spread + 0.5 if "running_var" in name else spread - 0.5)
    return model.double().eval()


def silence(conv_norm, channels):
    """A layer whose output is zero in some channels."""
    if conv_norm.conv.__class__.__name__ != "MixConv2d":
        conv_norm.conv.weight.data[channels] = 0
    for value in (conv_norm.bn.bias, conv_norm.bn.running_mean):
        value.data[channels] = 0


def silence_removed(body, network, what, where):
    """Make what goes from ``body`` to ``network`` zero: the last channels of each group."""
    old = body.network
    for index, block in enumerate(body.blocks):
        smaller = squeeze_channels(network, network.blocks[index])
        if hasattr(block, "se") and hasattr(block.se, "reduce"):
            block.se.reduce.weight.data[smaller:] = block.se.reduce.bias.data[smaller:] = 0
    if what == "expansion":
        tables = [table.blocks[where] for table in (old, network)]
        cuts, size = map(expansion_cuts, tables), tables[0].expansion
    else:
        sizes = [t.stem if where[0] == STEM else t.blocks[where[0]].out_channels
                 for t in (old, network)]  # fmt: skip
        cuts = (bottleneck_cuts(old, where, width) for width in sizes)
        size = sizes[0]
    kept = kept_channels(range(size, 0, -1), *cuts)
    gone = sorted(set(range(size)) - set(kept))
    assert gone
    if what == "expansion":
        silence(body.blocks[where].expand, gone)
        silence(body.blocks[where].depthwise, gone) if body.blocks[where].until else None
    for index in where if what == "bottleneck" else ():
        silence(body.stem if index == STEM else body.blocks[index].project, gone)
        if index + 1 < len(body.blocks) and not old.blocks[index + 1].expands:
            silence(body.blocks[index + 1].depthwise, gone)
    return gone


BACKBONES = [
    (MixNet, S, with_expansion, 7, 200),
    (MixNet, S, with_expansion, 13, 600),  # the tapped map, five kernel sizes
    (MixNet, S, with_bottleneck, (7, 8, 9), 64),
    (MixNet, S, with_bottleneck, (STEM, 0), 8),
    (MobileNetV3, LARGE, with_expansion, 4, 96),
    (MobileNetV3, LARGE, with_bottleneck, (3, 4, 5), 24),
]


@pytest.mark.parametrize(("kind", "table", "change", "where", "channels"), BACKBONES)
def test_removing_zero_channels_leaves_the_maps_equal(kind, table, change, where, channels):
    old = randomised(kind(table, out_taps=("c2", "c3_depthwise", "last")))
    network = change(table, where, channels)
    what = "expansion" if change is with_expansion else "bottleneck"
    silence_removed(old, network, what, where)
    new = kind(network, out_taps=("c2", "c3_depthwise", "last")).double().eval()
    carry_over(old, new)
    x = torch.randn(1, 3, 32, 32, dtype=torch.float64)
    with torch.no_grad():
        for before, after in zip(old(x), new(x), strict=True):
            torch.testing.assert_close(before, after, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "change", "where", "channels"),
    [
        ("ssdlite_mixnet_sample", with_expansion, 13, 640),  # C4: neck and head follow
        ("seg.py", with_expansion, 2, 24),  # LR-ASPP's low map
    ],
)
def test_neck_and_head_follow_a_tapped_width(name, change, where, channels, tmp_path):
    text = TINY_SEGMENTER.replace("in_channels=(32, 104), ", "")
    (tmp_path / "seg.py").write_text(text)
    old = build(str(tmp_path / name) if name == "seg.py" else name)
    config = old.cfg
    old = randomised(old)
    network = change(old.backbone.network, where, channels)
    gone = silence_removed(old.backbone, network, "expansion", where)
    for module in old.bbox_head.modules() if hasattr(old, "bbox_head") else ():
        if getattr(module, "num_features", 0) == 720:  # the depthwise convolutions on C4
            module.bias.data[gone] = module.running_mean.data[gone] = 0
    config.model.backbone.arch = network
    for option in ("width", "reduced_tail"):
        config.model.backbone.pop(option, None)
    new = MODELS.build(config.model).double().eval()
    carry_over(old, new)
    x = torch.randn(1, 3, 32, 32, dtype=torch.float64)
    with torch.no_grad():
        before, after = old(x, mode="tensor"), new(x, mode="tensor")
    torch.testing.assert_close(before, after, rtol=1e-12, atol=1e-12)


def test_every_proposal_takes_over_the_weights_strictly_and_runs():
    table = MixNet(S, width=0.35).network
    old = MixNet(table).eval()
    found = list(propose(table, lambda network: 1 if network == table else 0.9, 0.95))
    kinds = {proposal.what.split()[2].rstrip(":") for proposal in found}
    assert len(found) > 30 and {"expansion", "kernels"} <= kinds
    for _, network in found[::6]:
        new = MixNet(network).eval()
        carry_over(old, new)
        assert all(torch.isfinite(tap).all() for tap in new(torch.zeros(1, 3, 33, 33)))


def test_other_kernels_keep_their_centre():
    old, new = MixNet("s"), MixNet(with_fewer_kernels(S, 3, 1))
    carry_over(old, new)
    kernels, (only,) = old.blocks[3].depthwise.conv, new.blocks[3].depthwise.conv
    torch.testing.assert_close(only.weight[:48], kernels[0].weight)  # 144 in three groups
    torch.testing.assert_close(only.weight[48:96], kernels[1].weight[..., 1:-1, 1:-1])
    torch.testing.assert_close(only.weight[96:], kernels[2].weight[..., 2:-2, 2:-2])
