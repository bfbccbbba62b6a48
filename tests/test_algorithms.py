"""Every form of a convolution of groups computes the same, values and gradients."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mixnet_dense import native
from mixnet_dense.backbones import MixConv2d, MixNet, set_form
from mixnet_dense.backbones.algorithms import (
    FORMS,
    depthwise_form,
    is_channels_last,
    pointwise_form,
)
from mixnet_dense.backbones.blocks import PointwiseConv2d
from mixnet_dense.registry import MODELS

LAYOUTS = (torch.contiguous_format, torch.channels_last)


def run(module, form, x):
    """Outputs and the gradients of input and weights."""
    set_form(module, form)
    x = x.clone().requires_grad_()
    out = module(x)
    weight = torch.linspace(-1, 1, out.numel()).reshape(out.shape)
    return out, *torch.autograd.grad((out * weight).sum(), [x, *module.parameters()])


def assert_forms_agree(module, x):
    for layout in LAYOUTS:
        laid_out = x.contiguous(memory_format=layout)
        expected = run(module, "split", laid_out)
        for form in (*FORMS, None):
            for found, value in zip(run(module, form, laid_out), expected, strict=True):
                torch.testing.assert_close(found, value, rtol=1e-4, atol=1e-4)
        with torch.no_grad():
            torch.testing.assert_close(module(laid_out), expected[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("padding", ["symmetric", "same"])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernels", [(3, 5), (3, 5, 7, 9), (9, 3), (1, 3)])
@pytest.mark.parametrize("size", [(9, 14), (8, 8), (1, 1)])
def test_mixconv(kernels, stride, padding, size):
    torch.manual_seed(0)
    mix = MixConv2d(21, kernels, stride=stride, padding=padding)
    assert_forms_agree(mix, torch.randn(2, 21, *size))


@pytest.mark.parametrize("options", [dict(dilation=2), dict(dilated=True)])
def test_dilated_mixconv(options):
    torch.manual_seed(0)
    assert_forms_agree(MixConv2d(12, (3, 5, 7), **options), torch.randn(2, 12, 11, 6))


def test_grouped_pointwise():
    torch.manual_seed(0)
    assert_forms_agree(PointwiseConv2d(12, 20, 2), torch.randn(2, 12, 5, 7))


def test_merged_weights_have_zero_borders():
    mix = MixConv2d(2, (1, 3))
    torch.nn.init.ones_(mix[0].weight), torch.nn.init.ones_(mix[1].weight)
    assert mix.merged_weight()[:, 0].tolist() == [
        [[0, 0, 0], [0, 1, 0], [0, 0, 0]],
        [[1, 1, 1], [1, 1, 1], [1, 1, 1]],
    ]


def test_only_groups_of_one_dilation_and_one_origin_merge():
    assert MixConv2d(8, (3, 5), dilation=2).mergeable
    assert not MixConv2d(8, (3, 9), dilated=True).mergeable
    # TensorFlow pads nothing before a strided 1x1 kernel, and 0 or 1 before a 3x3 one
    assert not MixConv2d(8, (1, 3), stride=2, padding="same").mergeable


def test_choice_follows_gradients_layout_and_device():
    plain = torch.zeros(1, 4, 6, 6)
    last = plain.contiguous(memory_format=torch.channels_last)
    weight = torch.nn.Parameter(torch.zeros(4, 1, 3, 3))
    assert depthwise_form(last, weight, mergeable=True) in ("native", "contiguous")
    with native.disabled():
        assert depthwise_form(last, weight, mergeable=True) == "contiguous"
    assert depthwise_form(plain, weight, mergeable=True) == "split"
    with torch.no_grad():
        assert depthwise_form(last, weight, mergeable=True) == "merged"
        assert depthwise_form(last, weight, mergeable=False) == "contiguous"
    frozen = weight.detach()
    assert depthwise_form(plain, frozen, mergeable=True) == "merged"
    assert depthwise_form(last.to("meta"), frozen, mergeable=True) == "split"
    assert (pointwise_form(last), pointwise_form(plain)) == ("merged", "split")


def test_form_of_a_whole_network_is_set_and_given_back():
    net = MixNet("s")
    forms = {module.form for module in set_form(net, "merged").modules() if hasattr(module, "form")}
    assert forms == {"merged"}
    set_form(net, None)
    assert {module.form for module in net.modules() if hasattr(module, "form")} == {None}
    with pytest.raises(ValueError, match="form='fast': must be None or one of"):
        set_form(net, "fast")


@pytest.mark.parametrize(
    "config", ["ssdlite_mixnet", "lraspp_mobilenetv3_small", "raspp_mobilenetv2"]
)
@pytest.mark.parametrize("wanted", [True, False])
def test_one_switch_lays_out_every_map_of_a_model(config, wanted):
    config = Config.fromfile(f"configs/{config}.py")
    init_default_scope(config.default_scope)
    config.model.backbone.channels_last = wanted
    model = MODELS.build(config.model)
    seen = []

    def look(module, inputs, output):
        if isinstance(output, torch.Tensor) and output.dim() == 4:
            if min(output.shape[1], output[0, 0].numel()) > 1:  # else it is in both
                seen.append(is_channels_last(output))

    for module in model.modules():
        module.register_forward_hook(look)
    for mode in (True, False):
        model.train(mode)(torch.randn(2, 3, 96, 128), mode="tensor")
    assert len(seen) > 50 and set(seen) == {wanted}
