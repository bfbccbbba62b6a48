"""The one block family of every network: expand, depthwise, se, project.

Inverted residuals of MobileNetV2 (https://arxiv.org/abs/1801.04381) with the
squeeze-and-excitation of MnasNet and MobileNetV3 and the MixConv of MixNet. Its
`arch.Block` row says which of these a block has.
"""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixnet_dense.backbones.algorithms import choose_pointwise, in_layout_of
from mixnet_dense.backbones.arch import Block
from mixnet_dense.backbones.mixconv import MixConv2d

_ALIASES = {"HSwish": "Hardswish", "HSigmoid": "Hardsigmoid", "Swish": "SiLU"}
_IN_PLACE = ("ReLU", "ReLU6", "Hardswish", "SiLU", "Mish")


_OWN_NORM = "mixnet_dense.BatchNorm2d"


def build_act(name: str) -> nn.Module:
    """An activation by its torch name (``'ReLU6'``, ``'SiLU'``, ``'Mish'``) or mm alias.

    Raises:
        ValueError: torch.nn has no such activation.
    """
    name = _ALIASES.get(name, name)
    if name not in nn.modules.activation.__all__:
        known = ", ".join((*_IN_PLACE, *_ALIASES))
        raise ValueError(f"act={name!r}: must be an activation of torch.nn, such as {known}")
    kind = getattr(nn, name)
    return kind(inplace=True) if name in _IN_PLACE else kind()


class BatchNorm2d(nn.BatchNorm2d):
    """Batch norm that also trains on one value per channel.

    With one image and a 1x1 map (SSDLite's last map, the pooled branch of a segmentation
    head) there are no batch statistics, and torch raises ValueError. Here the running
    statistics are used.
    """

    def forward(self, x: Tensor) -> Tensor:
        if self.training and x.numel() == x.shape[1]:
            return F.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        return super().forward(x)


def own_norm(norm_cfg: Mapping) -> dict:
    """``norm_cfg`` with `BatchNorm2d` in place of torch's; other layers stay.

    Raises:
        ValueError: ``norm_cfg`` is None.
    """
    if norm_cfg is None:
        raise ValueError("norm_cfg=None: must be a norm layer such as dict(type='BN')")
    if norm_cfg.get("type") in ("BN", "BN2d"):
        return {**norm_cfg, "type": _OWN_NORM}
    return dict(norm_cfg)


def build_norm(norm_cfg: Mapping, channels: int) -> nn.Module:
    """A norm layer as mmcv builds it; batch norm is `BatchNorm2d` and needs no mmcv.

    Raises:
        ValueError: no ``norm_cfg``.
    """
    norm_cfg = own_norm(norm_cfg)
    if norm_cfg["type"] != _OWN_NORM:
        from mmcv.cnn import build_norm_layer

        return build_norm_layer(norm_cfg, channels)[1]
    options = {name: value for name, value in norm_cfg.items() if name != "type"}
    trained = options.pop("requires_grad", True)
    return BatchNorm2d(channels, **options).requires_grad_(trained)


class ConvNormAct(nn.Module):
    """A convolution, its normalisation and, if named, an activation.

    Args:
        conv: any module (N, C_in, H, W) -> (N, channels, H', W').
        channels: output channels of ``conv``.
        norm_cfg: as in mmcv, such as ``dict(type='BN')``.
        act: activation name, or None for a linear output.
    """

    def __init__(self, conv: nn.Module, channels: int, norm_cfg: Mapping, act: str | None):
        super().__init__()
        self.conv = conv
        self.bn = build_norm(norm_cfg, channels)
        self.act = build_act(act) if act else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.bn(self.conv(x)))


class PointwiseConv2d(nn.Conv2d):
    """A bias-free 1x1 convolution, whose groups may run one after the other; see `algorithms`."""

    def __init__(self, in_channels: int, out_channels: int, groups: int):
        super().__init__(in_channels, out_channels, 1, groups=groups, bias=False)
        self.algorithm: str | None = None

    def forward(self, x: Tensor) -> Tensor:
        algorithm = self.algorithm or choose_pointwise(x)
        if self.groups == 1 or algorithm == "merged":
            return super().forward(x)
        parts = x.chunk(self.groups, 1)
        if algorithm == "contiguous":
            parts = [in_layout_of(x, part) for part in parts]
        weights = self.weight.chunk(self.groups)
        biases = [None] * self.groups if self.bias is None else self.bias.chunk(self.groups)
        grouped = zip(parts, weights, biases, strict=True)
        return torch.cat([F.conv2d(*group) for group in grouped], 1)


def pointwise(
    in_channels: int, out_channels: int, norm_cfg: Mapping, act: str | None, groups: int = 1
) -> ConvNormAct:
    """A 1x1 `ConvNormAct`."""
    conv = PointwiseConv2d(in_channels, out_channels, groups)
    return ConvNormAct(conv, out_channels, norm_cfg, act)


def upsample(x: Tensor, size: Sequence[int], align_corners: bool = False) -> Tensor:
    """Resize maps (N, C, h, w) to (height, width): bilinear."""
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=align_corners)


class SqueezeExcite(nn.Module):
    """Scale each channel of (N, C, H, W) by a gate of the pooled map.

    Args:
        channels: C.
        squeezed: width of the bottleneck.
        act: activation inside the bottleneck.
        gate: ``'Sigmoid'``, or ``'Hardsigmoid'`` (relu6(x + 3) / 6).
    """

    def __init__(self, channels: int, squeezed: int, act: str, gate: str):
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.reduce = nn.Conv2d(channels, squeezed, 1)
        self.act = build_act(act)
        self.expand = nn.Conv2d(squeezed, channels, 1)
        self.gate = build_act(gate)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(self.expand(self.act(self.reduce(self.pool(x)))))


class InvertedResidual(nn.Module):
    """One `arch.Block` row: (N, in_channels, H, W) -> (N, out_channels, H', W').

    Args:
        block: the row.
        squeezed: width of the squeeze-and-excitation bottleneck, 0 for none.
        squeeze_act, gate: its activations.
        stride, dilation: of the depthwise convolution; ``stride`` differs from the row's
            where the output stride was lowered (the residual follows the row).
        stop: ``'expand'`` or ``'depthwise'`` builds nothing after that child, for the last
            block of a backbone whose deepest tap is inside that block.
        norm_cfg, partition, dilated, padding: see `MixConv2d` and `ConvNormAct`.
    """

    def __init__(
        self,
        block: Block,
        *,
        squeezed: int,
        squeeze_act: str,
        gate: str,
        norm_cfg: Mapping,
        stride: int,
        dilation: int = 1,
        partition: str = "equal",
        dilated: bool = False,
        padding: str = "symmetric",
        stop: str | None = None,
    ):
        super().__init__()
        width = block.expansion
        self.residual = block.residual
        if block.expands:
            self.expand = pointwise(
                block.in_channels, width, norm_cfg, block.act, block.expand_groups
            )
        else:
            self.expand = nn.Identity()
        if stop == "expand":
            return
        mixed = MixConv2d(
            width,
            block.kernels,
            stride=stride,
            dilation=dilation,
            partition=partition,
            dilated=dilated,
            padding=padding,
        )
        self.depthwise = ConvNormAct(mixed, width, norm_cfg, block.act)
        if stop == "depthwise":
            return
        self.se = SqueezeExcite(width, squeezed, squeeze_act, gate) if squeezed else nn.Identity()
        self.project = pointwise(
            width, block.out_channels, norm_cfg, block.project_act, block.project_groups
        )

    def forward(self, x: Tensor) -> Tensor:
        return self._project(x, self.depthwise(self.expand(x)))

    def _project(self, x: Tensor, depthwise: Tensor) -> Tensor:
        """What follows the depthwise convolution."""
        out = self.project(self.se(depthwise))
        return x + out if self.residual else out

    def forward_taps(self, x: Tensor) -> dict[str, Tensor]:
        """The outputs of the built children by name, and the block's own as ``'out'``."""
        outputs = {"expand": self.expand(x)}
        if hasattr(self, "depthwise"):
            outputs["depthwise"] = self.depthwise(outputs["expand"])
        if hasattr(self, "project"):
            outputs["out"] = self._project(x, outputs["depthwise"])
        return outputs
