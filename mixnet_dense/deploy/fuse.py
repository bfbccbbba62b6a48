"""The same function with less work: for inference only."""

import copy

import torch
from mmcv.cnn import ConvModule
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.utils.fusion import fuse_conv_bn_weights

from mixnet_dense import native
from mixnet_dense.backbones.blocks import ConvNormAct, SqueezeExcite
from mixnet_dense.backbones.forms import stem_weight
from mixnet_dense.backbones.mixconv import MixConv2d, pad_same

_TRAINING_ONLY = ("auxiliary_head", "loss_cls", "loss_bbox", "loss_decode")


def fuse(model: nn.Module) -> nn.Module:
    """A copy of a model for inference, with the same outputs to 1e-4 of their scale.

    Batch norm is folded into the convolution before it, a MixConv becomes one operation, and
    what only training needs (auxiliary heads, losses, dropout) is gone.

    Args:
        model: a backbone, a classifier, or a whole detector or segmenter, on any device. Norm
            layers other than batch norm stay as they are.

    Returns:
        The copy in eval mode, its parameters without gradients. It cannot be trained, and
        its state dict has other keys than the model's.
    """
    fused = copy.deepcopy(model).eval().requires_grad_(False)
    for name in _TRAINING_ONLY:
        for module in fused.modules():
            if name in module._modules:
                module._modules[name] = None
    _replace(fused)
    return fused


def _replace(module: nn.Module) -> None:
    for name, child in module.named_children():
        new = _fused(child)
        if new is None:
            _replace(child)
        else:
            setattr(module, name, new)


def _fused(module: nn.Module) -> nn.Module | None:
    """What takes a module's place; None to look into its children."""
    if isinstance(module, ConvNormAct):
        bn = module.bn if isinstance(module.bn, _BatchNorm) else None
        if isinstance(module.conv, MixConv2d):
            module.conv = FusedMixConv2d(module.conv, bn, module.act if bn else nn.Identity())
        else:
            module.conv = _fold(module.conv, bn, module.act if bn else nn.Identity())
        if bn is not None:
            module.bn = module.act = nn.Identity()
        return module
    if isinstance(module, ConvModule) and module.order == ("conv", "norm", "act"):
        bn = module.norm if isinstance(module.norm, _BatchNorm) else None
        act = module.activate if bn and module.with_activation else nn.Identity()
        module.conv = _fold(module.conv, bn, act)
        if bn is not None:
            setattr(module, module.norm_name, nn.Identity())
            module.activate = nn.Identity()
        return module
    if isinstance(module, SqueezeExcite):
        return FusedSqueezeExcite(module)
    if isinstance(module, MixConv2d):
        return FusedMixConv2d(module, None, nn.Identity())
    if isinstance(module, nn.Conv2d):
        return FusedConv2d(module, module.weight, module.bias)
    return nn.Identity() if isinstance(module, _DropoutNd) else None


def _fold(conv: nn.Conv2d, bn: _BatchNorm | None, act: nn.Module) -> nn.Module:
    """A convolution with the batch norm behind it in its weights, and what follows that."""
    return FusedConv2d(conv, *_scaled(conv.weight, conv.bias, bn), act)


def _scaled(weight: Tensor, bias: Tensor | None, bn: _BatchNorm | None, part=slice(None)):
    if bn is None:
        return weight, bias
    statistics = bn.running_mean[part], bn.running_var[part], bn.eps
    return fuse_conv_bn_weights(weight, bias, *statistics, bn.weight[part], bn.bias[part])


class FusedMixConv2d(nn.Module):
    """A MixConv, its batch norm and its activation, for inference.

    One depthwise convolution with kernels of the largest size; where that is 7 or more and
    `mixnet_dense.native` can run, its kernel, which does not multiply zeros; for groups of
    unequal dilation one convolution per group.

    Args:
        conv: taken over.
        bn: what follows it, or None.
        act: what follows that.
    """

    def __init__(self, conv: MixConv2d, bn: _BatchNorm | None, act: nn.Module):
        super().__init__()
        self.conv, self.act = conv, act
        biases, start = [], 0
        for one, width in zip(conv, conv.splits, strict=True):
            weight, bias = _scaled(one.weight, None, bn, slice(start, start + width))
            one.weight = nn.Parameter(weight.detach().clone(), requires_grad=False)
            biases.append(weight.new_zeros(width) if bias is None else bias.detach())
            start += width
        self.bias = nn.Parameter(torch.cat(biases), requires_grad=False)
        largest = max(one.kernel_size[0] for one in conv)
        self.large = largest >= 7 and type(act) in native.ACTS
        self.merged = None
        if conv.mergeable:
            self.merged = FusedConv2d(conv[0], conv.merged_weight(), self.bias, act)

    def forward(self, x: Tensor) -> Tensor:
        if self.large and native.handles(x):
            weights, groups = zip(*((one.weight, one.group(x)) for one in self.conv), strict=True)
            return native.depthwise_act(
                x, weights, groups, self.conv[0].stride[0], self.bias, self.act
            )
        if self.merged is not None:
            return self.merged(x)
        return self.act(self.conv(x) + self.bias[:, None, None])


class FusedConv2d(nn.Conv2d):
    """A convolution for inference: (N, C, H, W) -> (N, C', ceil(H / s), ceil(W / s)).

    In eager float32 on a CPU it is one call of oneDNN, with weights in its own layout and the
    activation inside.

    Args:
        like: gives stride, dilation and padding.
        weight, bias: its parameters; C and the kernel size may differ from ``like``'s.
        act: what follows, which oneDNN computes on the way.
    """

    def __init__(
        self, like: nn.Conv2d, weight: Tensor, bias: Tensor | None, act: nn.Module | None = None
    ):
        kernel = tuple(weight.shape[-2:])
        grown = [(new - old) // 2 for new, old in zip(kernel, like.kernel_size, strict=True)]
        padding = [
            pad + more * spread
            for pad, more, spread in zip(like.padding, grown, like.dilation, strict=True)
        ]
        same = getattr(like, "same", False)
        groups = len(weight) if like.groups == like.in_channels > 1 else like.groups
        super().__init__(
            weight.shape[1] * groups,
            len(weight),
            kernel,
            stride=like.stride,
            padding=(0, 0) if same else tuple(padding),
            dilation=like.dilation,
            groups=groups,
            bias=bias is not None,
            device="meta",
        )
        self.same, self.act = same, act or nn.Identity()
        self._packed: tuple = (None, None)
        # Of a stem; other convolutions keep the layout of their input.
        self.channels_last = getattr(like, "channels_last", False)
        self.weight = nn.Parameter(weight.detach().clone(), requires_grad=False)
        if bias is not None:
            self.bias = nn.Parameter(bias.detach().clone(), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.same:
            x = pad_same(x, self.kernel_size[0], self.stride[0], self.dilation[0])
        weight = stem_weight(self.weight, self.channels_last)
        if _by_onednn(x):
            settings = self.padding, self.stride, self.dilation, self.groups
            act, *scalars = _ONEDNN_ACTS.get(type(self.act), ("none",))
            out = torch.ops.mkldnn._convolution_pointwise(
                x, self._packed_for(x, weight, settings), self.bias, *settings, act, scalars, ""
            )
            return out if type(self.act) in _ONEDNN_ACTS else self.act(out)
        return self.act(self._conv_forward(x, weight, self.bias))

    def _packed_for(self, x: Tensor, weight: Tensor, settings: tuple) -> Tensor:
        """Weights as oneDNN wants them for maps of this shape; the last ones are kept.

        Without it oneDNN would rearrange them in every call; for another shape it may want
        them otherwise, and run many times slower on these.
        """
        version = 0 if self.weight.is_inference() else self.weight._version
        key = tuple(x.shape), version
        known, packed = self._packed
        if key != known:
            packed = torch.ops.mkldnn._reorder_convolution_weight(weight, *settings, key[0])
            self._packed = key, packed
        return packed

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_packed": (None, None)}  # cannot be copied or saved


# Names in torch's oneDNN operators, and their scalars.
_ONEDNN_ACTS = {
    nn.Identity: ("none",),
    nn.ReLU: ("relu",),
    nn.ReLU6: ("hardtanh", 0.0, 6.0),
    nn.Hardswish: ("hardswish",),
    nn.SiLU: ("swish",),
}


def _by_onednn(x: Tensor) -> bool:
    """Whether torch's operator for compiled models, in which oneDNN has the activation too,
    can be called as it is."""
    return (
        x.device.type == "cpu"
        and x.dtype == torch.float32
        and not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()
        and not torch.is_autocast_enabled("cpu")
        and torch.backends.mkldnn.is_available()
        and torch.backends.mkldnn.enabled
        and hasattr(torch.ops.mkldnn, "_convolution_pointwise")
    )


class FusedSqueezeExcite(nn.Module):
    """`SqueezeExcite` with its two 1x1 convolutions of one pixel as matrix products."""

    def __init__(self, like: SqueezeExcite):
        super().__init__()
        self.reduce, self.expand = _linear(like.reduce), _linear(like.expand)
        self.act, self.gate = like.act, like.gate

    def forward(self, x: Tensor) -> Tensor:
        gate = self.gate(self.expand(self.act(self.reduce(x.mean((2, 3))))))
        return x * gate[:, :, None, None]


def _linear(conv: nn.Conv2d) -> nn.Linear:
    linear = nn.Linear(conv.in_channels, conv.out_channels, device="meta")
    linear.weight = nn.Parameter(conv.weight.flatten(1).clone(), requires_grad=False)
    linear.bias = nn.Parameter(conv.bias.clone(), requires_grad=False)
    return linear
