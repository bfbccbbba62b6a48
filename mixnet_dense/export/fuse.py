"""Fuse a model for inference: equal outputs with less work."""

import copy

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.utils.fusion import fuse_conv_bn_eval

from mixnet_dense.backbones.blocks import SqueezeExcite
from mixnet_dense.backbones.mixconv import DepthwiseConv2d, MixConv2d

_IN_PLACE = (nn.Hardswish, nn.SiLU, nn.Mish)  # without gradients nobody needs their input
_TRAINING_ONLY = ("auxiliary_head", "loss_cls", "loss_bbox", "loss_decode")


def fuse(model: nn.Module) -> nn.Module:
    """A copy of a model for inference; its outputs differ only by rounding.

    A MixConv becomes one convolution, batch norm is folded into the convolution before it,
    and squeeze-and-excitation uses matrix products. Auxiliary heads, losses and dropout are
    removed.

    Args:
        model: a backbone, a classifier, or a whole detector or segmenter, on any device. Norm
            layers other than batch norm stay as they are, and so does a MixConv of groups
            of unequal dilation, with its batch norm.

    Returns:
        The copy in eval mode, its parameters without gradients. It cannot be trained, and
        its state dict has other keys than the model's.
    """
    fused = copy.deepcopy(model).eval().requires_grad_(False)
    for module in list(fused.modules()):
        for name in _TRAINING_ONLY:
            if name in module._modules:
                module._modules[name] = None
        if isinstance(module, _IN_PLACE):
            module.inplace = True
    _fuse_children(fused)
    return fused


def _fuse_children(module: nn.Module) -> None:
    """Fold each batch norm into the convolution that is registered directly before it."""
    previous = None  # the name of the previous child, if it is a convolution
    for name, child in module.named_children():
        if isinstance(child, _BatchNorm) and previous is not None:
            conv = fuse_conv_bn_eval(getattr(module, previous), child)
            setattr(module, previous, conv)
            setattr(module, name, nn.Identity())
        elif isinstance(child, _DropoutNd):
            setattr(module, name, nn.Identity())
        elif isinstance(child, MixConv2d) and child.mergeable:
            setattr(module, name, _merge(child))
        elif isinstance(child, SqueezeExcite):
            setattr(module, name, _LinearSqueezeExcite(child))
        elif not isinstance(child, nn.Conv2d):
            _fuse_children(child)
        previous = name if isinstance(getattr(module, name), nn.Conv2d) else None


def _merge(mixed: MixConv2d) -> DepthwiseConv2d:
    """One depthwise convolution; smaller kernels get a border of zeros."""
    conv = copy.deepcopy(mixed.largest)
    conv.weight = nn.Parameter(mixed.merged_weight(), requires_grad=False)
    conv.in_channels = conv.out_channels = conv.groups = len(conv.weight)
    return conv


class _LinearSqueezeExcite(nn.Module):
    """`SqueezeExcite` without convolutions of one pixel, which NNCF would leave in float."""

    def __init__(self, like: SqueezeExcite):
        super().__init__()
        self.reduce, self.expand = _linear(like.reduce), _linear(like.expand)
        self.act, self.gate = like.act, like.gate

    def forward(self, x: Tensor) -> Tensor:
        gate = self.gate(self.expand(self.act(self.reduce(x.mean((2, 3))))))
        return x * gate[:, :, None, None]


def _linear(conv: nn.Conv2d) -> nn.Linear:
    linear = nn.Linear(conv.in_channels, conv.out_channels).requires_grad_(False)
    linear.weight.data, linear.bias.data = conv.weight.flatten(1), conv.bias
    return linear
