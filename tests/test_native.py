"""The kernels in C compute what torch computes; without them everything runs all the same."""

import shutil
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mixnet_dense import native
from mixnet_dense.backbones import build_classifier
from mixnet_dense.backbones.blocks import BatchNorm2d
from mixnet_dense.backbones.mixconv import MixConv2d
from mixnet_dense.native.library import library

needs_compiler = pytest.mark.skipif(
    not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="there is no C compiler here"
)


def last(*shape) -> torch.Tensor:
    return torch.randn(*shape).contiguous(memory_format=torch.channels_last)


def close(found, expected, tolerance=1e-5):
    assert found.dtype == torch.float32
    error = (found.detach() - expected).abs().max() / expected.detach().abs().max().clamp(min=1e-6)
    assert float(error) < tolerance


@needs_compiler
def test_a_compiler_means_kernels():
    assert native.available()


@needs_compiler
@pytest.mark.parametrize("act", native.ACTS)
@pytest.mark.parametrize("shape", [(2, 7, 5, 3), (3, 40, 9, 11), (8, 33, 40, 40), (2, 1100, 3, 2)])
def test_norm_and_activation_against_float64(act, shape):
    torch.manual_seed(0)
    x = (3 * last(*shape) + 5).requires_grad_()
    norm, function = BatchNorm2d(shape[1], eps=1e-3, momentum=0.01), act()
    nn.init.uniform_(norm.weight, -1.5, 1.5), nn.init.uniform_(norm.bias, -2, 2)
    exact = BatchNorm2d(shape[1], eps=1e-3, momentum=0.01).double()
    exact.load_state_dict(norm.state_dict())
    exact_x = x.detach().double().requires_grad_()
    expected = function(exact(exact_x))
    gradient = torch.randn(shape)

    assert native.norm_act_handles(x, norm, function)
    found = native.norm_act(x, norm, function)
    found.backward(gradient)
    expected.backward(gradient.double())
    close(found, expected)
    close(x.grad, exact_x.grad)
    close(norm.weight.grad, exact.weight.grad)
    close(norm.bias.grad, exact.bias.grad)
    close(norm.running_mean, exact.running_mean)
    close(norm.running_var, exact.running_var)
    assert int(norm.num_batches_tracked) == 1


@needs_compiler
def test_statistics_far_from_zero():
    """A mean of a thousand standard deviations: squares are not subtracted from each other."""
    torch.manual_seed(0)
    x = last(4, 16, 32, 32) + 1000
    norm = BatchNorm2d(16)
    expected = F.batch_norm(x.double(), None, None, training=True)
    close(native.norm_act(x, norm, nn.Identity()), expected, 1e-3)


@needs_compiler
def test_values_beyond_range_stay_themselves():
    x = last(2, 16, 4, 4)
    x[0, 3, 1, 1] = float("nan")
    with_nan = native.norm_act(x, BatchNorm2d(16), nn.SiLU())
    assert with_nan[:, 3].isnan().all() and with_nan[:, :3].isfinite().all()
    norm = BatchNorm2d(16)
    nn.init.constant_(norm.weight, 1000)
    far = native.norm_act(last(2, 16, 4, 4), norm, nn.SiLU())
    assert far.isfinite().all() and float(far.min()) > -0.3 and float(far.max()) > 1000


@needs_compiler
@pytest.mark.parametrize("padding", ["symmetric", "same"])
@pytest.mark.parametrize(
    ("channels", "kernels", "options", "size"),
    [
        (37, (3, 5), dict(stride=2), (9, 7)),
        (90, (3, 5, 7, 9), dict(), (20, 20)),
        (120, (3, 5, 7, 9, 11), dict(stride=2), (14, 13)),
        (16, (9,), dict(), (1, 1)),
        (20, (3,), dict(stride=2), (1, 6)),
        (64, (3, 5), dict(dilation=2), (13, 12)),
        (40, (3, 9), dict(dilated=True), (10, 10)),
        (24, (1, 3, 5), dict(stride=2), (5, 6)),
        (17, (13,), dict(), (6, 5)),
        (20, (9,), dict(), (90, 90)),  # several strips of rows
        (20, (3, 5), dict(stride=2), (131, 90)),
    ],
)
def test_depthwise_against_float64(channels, kernels, options, size, padding):
    torch.manual_seed(0)
    mix = MixConv2d(channels, kernels, padding=padding, **options)
    exact = MixConv2d(channels, kernels, padding=padding, **options).double()
    exact.load_state_dict(mix.state_dict())
    mix.form, exact.form = "native", "split"
    x = last(3, channels, *size)
    if not native.handles(x):  # one pixel lies in both layouts
        x = x.as_strided(x.shape, (channels, 1, channels, channels))
    x.requires_grad_()
    exact_x = x.detach().double().requires_grad_()
    found, expected = mix._native(x), exact(exact_x)
    assert found.shape == expected.shape
    gradient = torch.randn(expected.shape)
    found.backward(gradient)
    expected.backward(gradient.double())
    close(found, expected)
    close(x.grad, exact_x.grad)
    for one, other in zip(mix, exact, strict=True):
        close(one.weight.grad, other.weight.grad)


@needs_compiler
def test_what_the_kernels_leave_to_torch():
    x = last(2, 8, 4, 4)
    assert native.handles(x)
    for other in (x.double(), x.contiguous(), x.to("meta"), x[:0], last(2, 8, 1, 1)):
        assert not native.handles(other)
    with torch.autocast("cpu", torch.bfloat16):
        assert not native.handles(x)
    with native.disabled():
        assert not native.handles(x)
    norm = BatchNorm2d(8)
    assert native.norm_act_handles(x, norm, nn.ReLU())
    assert not native.norm_act_handles(x, norm, nn.Mish())
    assert not native.norm_act_handles(x, norm.eval(), nn.ReLU())
    assert not native.norm_act_handles(x, nn.GroupNorm(1, 8), nn.ReLU())
    assert not native.norm_act_handles(x, BatchNorm2d(8, momentum=None), nn.ReLU())


@needs_compiler
def test_recomputed_activations_give_the_same_gradients():
    gradients = []
    for recompute in (False, True):
        torch.manual_seed(0)
        model = build_classifier("mixnet_s", num_classes=3, with_cp=recompute).train()
        model(torch.randn(2, 3, 64, 64)).square().mean().backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    for found, expected in zip(*gradients, strict=True):
        assert torch.equal(found, expected)


@needs_compiler
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_any_number_of_threads(threads):
    torch.manual_seed(0)
    mix, norm = MixConv2d(50, (3, 7)), BatchNorm2d(50)
    x = last(2, 50, 11, 9).requires_grad_()
    outputs = []
    for count in (1, threads):
        torch.set_num_threads(count)
        out = native.norm_act(mix._native(x), norm, nn.ReLU())
        outputs.append((out, *torch.autograd.grad(out.square().sum(), [x, *mix.parameters()])))
    for found, expected in zip(*outputs, strict=True):
        close(found, expected)


@needs_compiler
@pytest.mark.parametrize("frozen", ["input", "weights"])
def test_gradients_that_nobody_wants(frozen):
    mix, norm = MixConv2d(20, (3, 5)), BatchNorm2d(20)
    x = last(2, 20, 6, 6).requires_grad_(frozen != "input")
    mix.requires_grad_(frozen != "weights")
    native.norm_act(mix._native(x), norm, nn.ReLU()).sum().backward()
    assert (x.grad is None) == (frozen == "input")
    assert all((conv.weight.grad is None) == (frozen == "weights") for conv in mix)


@needs_compiler
@pytest.mark.parametrize("name", ["mixnet_s", "mobilenetv3_small"])
def test_training_step_is_as_close_to_float64_as_torchs(name):
    """Gradients and running statistics of a network; deep ones magnify float32's rounding."""

    def step(dtype):
        torch.manual_seed(0)
        model = build_classifier(name, num_classes=3).train().to(dtype)
        loss = model(torch.randn(4, 3, 96, 96).to(dtype)).square().mean()
        loss.backward()
        statistics = [value.flatten() for value in model.buffers()]
        gradients = [parameter.grad.flatten() for parameter in model.parameters()]
        return [torch.cat(values).double() for values in (statistics, gradients)]

    def errors(values):
        pairs = zip(values, exact, strict=True)
        return [float((value - true).norm() / true.norm()) for value, true in pairs]

    exact, found = step(torch.float64), step(torch.float32)
    with native.disabled():
        torchs = step(torch.float32)
    for ours, theirs in zip(errors(found), errors(torchs), strict=True):
        assert 0 < ours < 2 * theirs < 0.1


_SCRIPT = """
import torch
from mixnet_dense import native
from mixnet_dense.backbones import build_classifier
x = torch.randn(2, 3, 32, 32)
build_classifier("mixnet_s").train()(x).sum().backward()
print("kernels", native.available())
"""


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        (dict(CC="false"), "native kernels: not used"),
        (dict(CC="no-such-compiler"), "native kernels: not used"),
        (dict(MIXNET_DENSE_NATIVE="0"), ""),
    ],
)
def test_no_compiler_is_one_line(setting, said, tmp_path):
    environment = dict(PATH="/usr/bin:/bin", HOME=str(tmp_path), **setting)
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert "kernels False" in done.stdout
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@needs_compiler
def test_compiled_once_and_nothing_left_over(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert library.__wrapped__() is not None
    (made,) = (tmp_path / "mixnet_dense").iterdir()
    assert made.suffix == ".so"
    before = made.stat().st_mtime_ns
    assert library.__wrapped__() is not None
    assert made.stat().st_mtime_ns == before
