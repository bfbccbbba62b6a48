"""Every algorithm for a convolution of groups computes the same, values and gradients."""

import pytest
import torch

from mixnet_dense.backbones import MixConv2d, MixNet, set_algorithm
from mixnet_dense.backbones.algorithms import (
    ALGORITHMS,
    MIXCONV,
    POINTWISE,
    Call,
    choose,
)
from mixnet_dense.backbones.blocks import PointwiseConv2d

LAYOUTS = (torch.contiguous_format, torch.channels_last)


def run(module, algorithm, x):
    """Outputs and the gradients of input and weights."""
    set_algorithm(module, algorithm)
    x = x.clone().requires_grad_()
    out = module(x)
    weight = torch.linspace(-1, 1, out.numel()).reshape(out.shape)
    return out, *torch.autograd.grad((out * weight).sum(), [x, *module.parameters()])


def assert_algorithms_agree(module, x):
    module, x = module.double(), x.double()
    for layout in LAYOUTS:
        laid_out = x.contiguous(memory_format=layout)
        expected = run(module, "split", laid_out)
        for algorithm in (*ALGORITHMS, None):
            for found, value in zip(run(module, algorithm, laid_out), expected, strict=True):
                torch.testing.assert_close(found, value, rtol=1e-9, atol=1e-9)
        with torch.no_grad():
            torch.testing.assert_close(module(laid_out), expected[0], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("padding", ["symmetric", "same"])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernels", [(3, 5), (3, 5, 7, 9), (9, 3), (1, 3)])
@pytest.mark.parametrize("size", [(9, 14), (8, 8), (1, 1)])
def test_mixconv(kernels, stride, padding, size):
    torch.manual_seed(0)
    mix = MixConv2d(21, kernels, stride=stride, padding=padding)
    assert_algorithms_agree(mix, torch.randn(2, 21, *size))


@pytest.mark.parametrize("options", [dict(dilation=2), dict(dilated=True)])
def test_dilated_mixconv(options):
    torch.manual_seed(0)
    assert_algorithms_agree(MixConv2d(12, (3, 5, 7), **options), torch.randn(2, 12, 11, 6))


def test_grouped_pointwise():
    torch.manual_seed(0)
    assert_algorithms_agree(PointwiseConv2d(12, 20, 2), torch.randn(2, 12, 5, 7))


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


@pytest.mark.parametrize(
    ("rules", "last", "train", "options", "algorithm"),
    [
        (MIXCONV, True, True, {}, "contiguous"),
        (MIXCONV, False, True, {}, "split"),
        (MIXCONV, True, False, {}, "merged"),
        (MIXCONV, False, False, {}, "merged"),
        (MIXCONV, True, False, dict(mergeable=False), "contiguous"),
        (MIXCONV, False, False, dict(mergeable=False), "split"),
        (MIXCONV, True, True, dict(bytes=2**26), "split"),
        (MIXCONV, True, False, dict(device="cuda"), "split"),
        (POINTWISE, True, True, {}, "merged"),
        (POINTWISE, True, True, dict(narrowest=40), "grouped"),
        (POINTWISE, True, False, {}, "grouped"),
        (POINTWISE, False, True, {}, "split"),
        (POINTWISE, True, False, dict(device="cuda"), "split"),
    ],
)
def test_choice(rules, last, train, options, algorithm):
    usual = dict(device="cpu", bytes=576, narrowest=2, mergeable=True)
    call = Call(channels_last=last, training=train, **{**usual, **options})
    assert next(rule.algorithm for rule in rules if rule.fits(call)) == algorithm


def test_choice_sees_gradients_layout_and_device():
    plain = torch.zeros(1, 4, 6, 6)
    last = plain.contiguous(memory_format=torch.channels_last)
    weight = torch.nn.Parameter(torch.zeros(4, 1, 3, 3))
    assert choose(MIXCONV, last, weight, 2) == "contiguous"
    assert choose(MIXCONV, last, weight.detach(), 2) == "merged"
    assert choose(MIXCONV, plain, weight, 2) == "split"
    assert choose(MIXCONV, last.to("meta"), weight.detach(), 2) == "split"
    with torch.no_grad():
        assert choose(MIXCONV, last, weight, 2) == "merged"
        assert choose(MIXCONV, last, weight, 2, mergeable=False) == "contiguous"
        assert choose(POINTWISE, last, weight, 2) == "grouped"
    assert choose(POINTWISE, last, weight, 2) == "merged"


def algorithms(net):
    return {module.algorithm for module in net.modules() if hasattr(module, "algorithm")}


def test_algorithm_of_a_whole_network_is_set_and_given_back():
    net = MixNet("s")
    assert algorithms(set_algorithm(net, "merged")) == {"merged"}
    assert algorithms(set_algorithm(net, None)) == {None}
    with pytest.raises(ValueError, match="algorithm='fast': must be None or one of"):
        set_algorithm(net, "fast")
