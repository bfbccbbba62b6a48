"""Fused models compute what the models they came from compute."""

import copy
import io

import golden
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mixnet_dense.backbones import MixConv2d, build_classifier
from mixnet_dense.backbones.classifier import NAMES
from mixnet_dense.export import fuse
from mixnet_dense.registry import MODELS


def lively(model):
    """Batch norms whose folding matters: uneven statistics, scales and shifts."""
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            nn.init.uniform_(module.weight, 0.7, 1.3)
            nn.init.uniform_(module.bias, -0.2, 0.2)
    return model.eval().double()  # rounding in float32 reaches 2e-4 in the deepest networks


def flat(outputs):
    if isinstance(outputs, torch.Tensor):
        return [outputs]
    return [tensor for item in outputs for tensor in flat(item)]


def assert_same(model, fused, shape=(2, 3, 96, 64), **mode):
    x = golden.image(shape).double()
    with torch.no_grad():
        for found, expected in zip(flat(fused(x, **mode)), flat(model(x, **mode)), strict=True):
            assert golden.relative_error(found, expected) < golden.TOLERANCE


@pytest.mark.parametrize("padding", ["symmetric", "same"])
@pytest.mark.parametrize("name", NAMES)
def test_every_backbone(name, padding):
    model = lively(build_classifier(name, num_classes=7, padding=padding))
    fused = fuse(model)
    assert not any(isinstance(module, (_BatchNorm, MixConv2d)) for module in fused.modules())
    assert_same(model, fused)
    assert_same(model, fused, (1, 3, 33, 47))


@pytest.mark.parametrize(
    "options",
    [
        dict(dilated=True),
        dict(output_stride=16),
        dict(norm_cfg=dict(type="GN", num_groups=1)),
        dict(kernel_sizes=(1, 3), padding="same"),
        dict(act="Mish", width=0.5),
    ],
)
def test_variants(options):
    model = lively(build_classifier("mixnet_s", num_classes=7, **options))
    assert_same(model, fuse(model))


@pytest.mark.parametrize(
    "config",
    [
        *("ssdlite_mixnet", "ssdlite_mobilenetv2", "ssdlite_mobilenetv3_large_torchvision"),
        *("lraspp_mixnet", "lraspp_mobilenetv3_small", "raspp_mobilenetv2"),
    ],
)
def test_whole_models(config):
    config = Config.fromfile(f"configs/{config}.py")
    init_default_scope(config.default_scope)
    model = lively(MODELS.build(config.model))
    fused = fuse(model)
    assert not any(isinstance(module, _BatchNorm) for module in fused.modules())
    assert_same(model, fused, mode="tensor")


def test_the_model_itself_is_left_alone():
    model = lively(build_classifier("mixnet_s", num_classes=7))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    fused = fuse(model.train())
    assert model.training and not fused.training
    assert not any(parameter.requires_grad for parameter in fused.parameters())
    fused.backbone.stem.conv.weight.zero_()
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_fused_models_are_copied_and_saved():
    fused = fuse(lively(build_classifier("mobilenetv3_small", num_classes=7)))
    x = golden.image((1, 3, 32, 32)).double()
    buffer = io.BytesIO()
    torch.save(copy.deepcopy(fused), buffer)
    buffer.seek(0)
    with torch.no_grad():
        assert torch.equal(torch.load(buffer, weights_only=False)(x), fused(x))


def test_folding_by_hand():
    # weight 2, mean 3, variance 4 - 1e-5, scale 5, shift 6: (2 x - 3) / 2 * 5 + 6 = 5 x - 1.5
    conv, bn = nn.Conv2d(1, 1, 1, bias=False), nn.BatchNorm2d(1)
    model = build_classifier("mobilenetv1", num_classes=2).backbone.blocks[0].project
    model.conv, model.bn, model.act = conv, bn, nn.Identity()
    values = zip((conv.weight, bn.running_mean, bn.running_var, bn.weight, bn.bias), (2, 3, 4 - 1e-5, 5, 6))  # noqa: B905, E501 # fmt: skip
    for tensor, value in values:
        nn.init.constant_(tensor, value)
    fused = fuse(nn.Sequential(model))[0].conv
    assert isinstance(fused, nn.Conv2d)
    torch.testing.assert_close(fused.weight.flatten(), torch.tensor([5.0]))
    torch.testing.assert_close(fused.bias, torch.tensor([-1.5]))


def test_training_only_parts_are_gone():
    config = Config.fromfile("configs/lraspp_mobilenetv3_small.py")
    init_default_scope(config.default_scope)
    fused = fuse(MODELS.build(config.model))
    assert fused.decode_head.loss_decode is None
    assert not any(isinstance(module, nn.Dropout2d) for module in fused.modules())


def test_fused_models_export():
    fused = fuse(lively(build_classifier("mixnet_s", num_classes=7)))
    x = golden.image((1, 3, 64, 64)).double()
    exported = torch.export.export(fused, (x,)).module()
    assert golden.relative_error(exported(x), fused(x)) < golden.TOLERANCE


def test_squeeze_and_excitation_has_no_convolution():
    """NNCF quantises matrix products; squeeze-and-excitation of convolutions stays float."""
    fused = fuse(build_classifier("mobilenetv3_small"))
    gates = [module.se for module in fused.modules() if hasattr(module, "se")]
    assert sum(isinstance(layer, nn.Linear) for gate in gates for layer in gate.modules()) == 18
    assert not any(isinstance(layer, nn.Conv2d) for gate in gates for layer in gate.modules())
