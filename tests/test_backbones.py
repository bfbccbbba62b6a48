import pytest
import torch
from torch import nn

from mixnet_dense.backbones import MixNet, build_classifier
from mixnet_dense.registry import MODELS


# MixConv table 2 prints 4.1, 5.0 and 7.3 million.
@pytest.mark.parametrize(
    ("name", "count"), [("mixnet_s", 4134606), ("mixnet_m", 5014382), ("mixnet_l", 7329252)]
)
def test_parameter_counts_of_the_paper(name, count):
    assert sum(p.numel() for p in build_classifier(name).parameters()) == count


def test_taps_of_mixnet_s():
    backbone = MODELS.build(dict(type="MixNet", arch="s"))
    named = {name: tap for name, tap in backbone.taps.items() if not name.startswith("block")}
    assert backbone.taps["block3"] == (40, 8) and "block16" not in backbone.taps
    assert named == {
        "c2": (24, 4),
        "c3": (40, 8),
        "c4": (120, 16),
        "c5": (200, 32),
        "c4_expansion": (720, 16),
        "c3_depthwise": (240, 8),
        "last": (1536, 32),
    }


def test_arguments_of_mm_configs_mean_what_they_mean_there():
    backbone = MixNet("s", out_indices=(0, 1, 2, 3), pretrained=None)
    assert backbone.out_taps == ("c2", "c3", "c4", "c5")


def test_timms_names_describe_the_returned_maps():
    backbone = MixNet("s", out_taps=("c2", "c4_expansion", "c5"), output_stride=16)
    info = backbone.feature_info
    assert info[1] == dict(num_chs=720, reduction=16, module="c4_expansion")
    assert info.channels() == [24, 720, 200] and info.reduction() == [4, 16, 16]
    assert backbone.num_features == 200


def test_output_stride_dilates_what_follows():
    backbone = MixNet("s", output_stride=16)
    # blocks 13 to 15 are the stride-32 ones: the first loses its stride, later ones dilate
    convs = [backbone.blocks[index].depthwise.conv[0] for index in (13, 14, 15)]
    assert [conv.stride for conv in convs] == [(1, 1)] * 3
    assert [conv.dilation for conv in convs] == [(1, 1), (2, 2), (2, 2)]
    assert MixNet("s", output_stride=8).blocks[15].depthwise.conv[0].dilation == (4, 4)


@pytest.mark.parametrize("arch", ["s", "m", "l"])
def test_output_stride_changes_no_parameter(arch):
    keys = MixNet(arch).state_dict()
    dense = MixNet(arch, output_stride=8).state_dict()
    assert {k: v.shape for k, v in keys.items()} == {k: v.shape for k, v in dense.items()}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(arch="xl"), "arch='xl': must be one of 's', 'm', 'l'"),
        (dict(out_taps=("c6",)), "out_taps='c6': must be one of 'c2'"),
        (dict(output_stride=4), "output_stride=4: must be one of 32, 16, 8"),
        (dict(reduced_tail="half"), "reduced_tail='half'"),
        (dict(padding="valid"), "must be one of 'symmetric', 'same'"),
        (dict(frozen_stages=6), "frozen_stages=6"),
        (dict(act="Relu"), "act='Relu': must be an activation"),
        (dict(width=0), "must be a positive number"),
        (dict(kernel_sizes=(4,)), "odd positive"),
        (dict(kernel_sizes=5), "kernel_sizes=5: must be different odd"),
        (dict(kernel_sizes={0: 5}), "kernel_sizes=5: must be different odd"),
        (dict(width="0.5"), "width='0.5': must be a positive number"),
        (dict(width=None), "must be a positive number"),
        (dict(norm_cfg=None), "norm_cfg=None: must be a norm layer"),
        (dict(out_indices=(1, 2, 4, 6)), "out_indices=4: must be one of 0, 1, 2, 3"),
        (dict(pretrained="a.pth"), "pretrained='a.pth': must be None; .* init_cfg="),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        MixNet(**arguments)


def test_act_replaces_every_activation_but_gates():
    kinds = {
        type(m) for m in MixNet("s", act="Mish").modules() if "activation" in type(m).__module__
    }
    assert kinds == {nn.Mish, nn.Sigmoid}


def test_kernel_swap_and_dilation_reach_the_layers():
    swapped = MixNet("s", kernel_sizes={0: (3, 5)}, partition="exponential")
    assert [c.kernel_size for c in swapped.blocks[0].depthwise.conv] == [(3, 3), (5, 5)]
    dilated = MixNet("s", dilated=True)
    assert {c.kernel_size for c in dilated.blocks[14].depthwise.conv} == {(3, 3)}


@pytest.mark.parametrize(("stages", "frozen_blocks"), [(-1, 0), (0, 0), (1, 3), (2, 7), (4, 16)])
def test_frozen_stages(stages, frozen_blocks):
    backbone = MixNet("s", frozen_stages=stages).train()
    frozen = [not any(p.requires_grad for p in block.parameters()) for block in backbone.blocks]
    assert sum(frozen) == frozen_blocks and all(frozen[:frozen_blocks])
    assert all(not block.training for block in backbone.blocks[:frozen_blocks])
    assert backbone.stem.training == (stages < 0)
    assert all(p.requires_grad for p in backbone.last.parameters())


def test_everything_frozen_and_norm_eval():
    assert not any(p.requires_grad for p in MixNet("s", frozen_stages=5).parameters())
    backbone = MixNet("s", norm_eval=True).train()
    assert not backbone.stem.bn.training and backbone.training


def test_checkpointed_blocks_give_the_same_gradients():
    plain, checkpointed = MixNet("s").eval(), MixNet("s", with_cp=True).eval()
    checkpointed.load_state_dict(plain.state_dict())
    x = torch.randn(1, 3, 32, 32)
    for backbone in (plain, checkpointed):
        sum(out.square().mean() for out in backbone(x.clone().requires_grad_())).backward()
    for a, b in zip(plain.parameters(), checkpointed.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad)


def test_memory_layout_changes_no_value():
    last, first = MixNet("s").eval().double(), MixNet("s", channels_last=False).eval().double()
    first.load_state_dict(last.state_dict())
    x = torch.randn(2, 3, 40, 56, dtype=torch.double)
    for a, b in zip(last(x), first(x), strict=True):
        torch.testing.assert_close(a, b)


def test_keys_are_named_by_part():
    keys = list(MixNet("s").state_dict())
    assert keys[0] == "stem.conv.weight"
    assert "blocks.3.expand.conv.weight" in keys
    assert "blocks.3.depthwise.conv.2.weight" in keys
    assert "blocks.3.se.reduce.bias" in keys
    assert "blocks.3.project.bn.running_var" in keys
    assert keys[-1] == "last.bn.num_batches_tracked"
    # timm's 394 of the same network, whose 21 grouped 1x1 convolutions count twice
    assert len(keys) == 394 - 21


def test_initial_activations_keep_their_scale():
    backbone = MixNet("s", out_taps=("c2", "c5"))
    backbone.init_weights()
    std = backbone.blocks[14].depthwise.conv[3].weight.std()
    assert abs(std - (2 / 81) ** 0.5) < 0.02  # He by fan-in of a 9 x 9 depthwise kernel
