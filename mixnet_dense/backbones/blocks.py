"""The one block family of every network: expand, depthwise, se, project.

Inverted residuals of MobileNetV2 (https://arxiv.org/abs/1801.04381) with the
squeeze-and-excitation of MnasNet and MobileNetV3 and the MixConv of MixNet. Its
`arch.Block` row says which of these a block has.
"""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixnet_dense.backbones.algorithms import ALGORITHMS, POINTWISE, choose, in_layout_of
from mixnet_dense.backbones.arch import Block, Network, squeeze_channels
from mixnet_dense.backbones.mixconv import MixConv2d
from mixnet_dense.backbones.taps import DEPTHWISE, EXPAND, OUT

_ALIASES = {"HSwish": "Hardswish", "HSigmoid": "Hardsigmoid", "Swish": "SiLU"}
_IN_PLACE = ("ReLU", "ReLU6")  # the others' gradients need their input: autograd would copy it
_OWN_NORM = "mixnet_dense.BatchNorm2d"


def build_act(name: str) -> nn.Module:
    """An activation by its torch name (``'ReLU6'``, ``'SiLU'``, ``'Mish'``) or mm alias.

    Raises:
        ValueError: torch.nn has no such activation.
    """
    name = _ALIASES.get(name, name)
    if name not in nn.modules.activation.__all__:
        known = ", ".join((*_IN_PLACE, *_ALIASES.values(), *_ALIASES))
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
    """A norm layer as mmcv builds it; batch norm is `BatchNorm2d` and needs no mmcv."""
    norm_cfg = own_norm(norm_cfg)
    if norm_cfg["type"] != _OWN_NORM:
        from mmcv.cnn import build_norm_layer

        return build_norm_layer(norm_cfg, channels)[1]
    del norm_cfg["type"]
    trained = norm_cfg.pop("requires_grad", True)
    return BatchNorm2d(channels, **norm_cfg).requires_grad_(trained)


class ConvNormAct(nn.Module):
    """A convolution to ``channels`` channels, its normalisation and, if named, an activation."""

    def __init__(self, conv: nn.Module, channels: int, norm_cfg: Mapping, act: str | None):
        super().__init__()
        self.conv = conv
        self.bn = build_norm(norm_cfg, channels)
        self.act = build_act(act) if act else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.bn(self.conv(x)))


class PointwiseConv2d(nn.Conv2d):
    """A bias-free 1x1 convolution, whose groups may be computed apart; see `algorithms`."""

    algorithms = ALGORITHMS

    def __init__(self, in_channels: int, out_channels: int, groups: int):
        super().__init__(in_channels, out_channels, 1, groups=groups, bias=False)
        self.algorithm: str | None = None

    def merged_weight(self) -> Tensor:
        """The weight (out_channels, in_channels, 1, 1) without groups: zero between them."""
        parts = [part.flatten(1) for part in self.weight.chunk(self.groups)]
        return torch.block_diag(*parts)[:, :, None, None]

    def forward(self, x: Tensor) -> Tensor:
        if self.groups == 1:
            return super().forward(x)
        narrowest = min(self.in_channels, self.out_channels) // self.groups
        algorithm = self.algorithm or choose(POINTWISE, x, self.weight, narrowest)
        if algorithm == "grouped":
            return super().forward(x)
        if algorithm == "merged":
            return F.conv2d(x, self.merged_weight(), self.bias)
        weights = self.weight.chunk(self.groups)
        parts = x.chunk(self.groups, 1)
        if algorithm == "contiguous":
            parts = [in_layout_of(x, part) for part in parts]
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
    """Scale each channel of (N, channels, H, W) by a gate of the pooled map.

    ``squeezed`` is the width of the bottleneck, ``act`` the activation inside it.
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
    """One `arch.Block` row: (N, in_channels, H, W) -> its maps, the last (N, out_channels, H', W').

    Args:
        network: the row's, for its squeeze-and-excitation.
        block: the row.
        stride, dilation: of the depthwise convolution; ``stride`` differs from the row's
            where the output stride was lowered (the residual follows the row).
        mixing: other options of `MixConv2d`.
        until: the last map that is built, see `taps`; it comes before the output in a last
            block, if the backbone's deepest tap is inside it.
    """

    def __init__(
        self,
        network: Network,
        block: Block,
        *,
        norm_cfg: Mapping,
        stride: int,
        dilation: int,
        mixing: Mapping,
        until: int = OUT,
    ):
        super().__init__()
        width, self.residual, self.until = block.expansion, block.residual, until
        self.expand = nn.Identity()
        if block.expands:
            groups = block.expand_groups
            self.expand = pointwise(block.in_channels, width, norm_cfg, block.act, groups)
        if until == EXPAND:
            return
        mixed = MixConv2d(width, block.kernels, stride=stride, dilation=dilation, **mixing)
        self.depthwise = ConvNormAct(mixed, width, norm_cfg, block.act)
        if until == DEPTHWISE:
            return
        self.se = nn.Identity()
        if squeezed := squeeze_channels(network, block):
            act = network.squeeze_act or block.act
            self.se = SqueezeExcite(width, squeezed, act, network.gate)
        self.project = pointwise(
            width, block.out_channels, norm_cfg, block.project_act, block.project_groups
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = [self.expand(x)]
        if self.until > EXPAND:
            maps.append(self.depthwise(maps[EXPAND]))
        if self.until > DEPTHWISE:
            out = self.project(self.se(maps[DEPTHWISE]))
            maps.append(x + out if self.residual else out)
        return maps
