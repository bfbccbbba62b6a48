"""The backbone: an `arch.Network` table made into a module with named taps."""

from collections.abc import Mapping

import torch.utils.checkpoint
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mixnet_dense.backbones.algorithms import stem_weight
from mixnet_dense.backbones.arch import (
    Network,
    halve_tail,
    halve_tail_for_segmentation,
    last_at_stride,
    scale,
    squeeze_channels,
    with_act,
    with_kernels,
)
from mixnet_dense.backbones.blocks import ConvNormAct, InvertedResidual, pointwise
from mixnet_dense.backbones.mixconv import PADDINGS, pad_same
from mixnet_dense.backbones.taps import find_places, find_taps, lay_out

STRIDES = (32, 16, 8)
TAILS = (None, "detection", "segmentation")


class Stem(nn.Conv2d):
    """The 3x3 stride-2 convolution (N, 3, H, W) -> (N, C, ceil(H / 2), ceil(W / 2)).

    All later maps take the memory layout of its output; see `algorithms.stem_weight`.
    """

    def __init__(self, channels: int, padding: str, channels_last: bool | None):
        self.same, self.channels_last = padding == "same", channels_last
        super().__init__(3, channels, 3, stride=2, padding=0 if self.same else 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        weight = stem_weight(self.weight, self.channels_last)
        return self._conv_forward(pad_same(x, 3, 2) if self.same else x, weight, self.bias)


class MobileBackbone(nn.Module):
    """A mobile backbone built from a table of `mixnet_dense.backbones.tables`.

    Takes (N, 3, H, W), any H and W from 1 up, and returns a tuple of feature maps in
    the order of ``out_taps``. A map at stride s is ceil(H / s) x ceil(W / s). Layers
    after the deepest tap are not built.

    Taps: ``c2 c3 c4 c5`` are the outputs of the last block at strides 4, 8, 16, 32;
    ``c4_expansion`` is the expansion output of the first stride-32 block (SSDLite's C4);
    ``c3_depthwise`` the depthwise output of the last stride-8 block (LR-ASPP's low tap);
    ``last`` the last 1x1 convolution (SSDLite's C5). MobileNetV1 has neither of these
    convolutions: its ``c4_expansion`` is c4 and its ``last`` is c5. ``block0``, ``block1`` …
    are the outputs of single rows of the table. `taps` maps each name to its `Tap`.

    Args:
        arch: name of a table of the family (default: its first), or a `Network`.
        width: width multiplier, applied with the network's own rounding rule.
        fixed_stem: do not scale the first convolution (timm's narrow MobileNetV3).
        out_taps: names of the maps to return.
        out_indices: as mm's configs name them, in place of ``out_taps``: 0 to 3 are c2 to c5.
        output_stride: 32, 16 or 8; below 32 the later strided blocks run at stride
            1 and later depthwise convolutions are dilated (MobileNetV3 section 6.4).
        dilate_strided: also dilate the block that lost its stride, as torchvision does.
        reduced_tail: ``'detection'`` halves the channels after C4 (MobileNetV3 table 6);
            ``'segmentation'`` also halves C4 itself in MobileNetV3 (table 7, RF2).
        kernel_sizes: odd sizes for every depthwise convolution, or a mapping from block
            index to such sizes (MixConv table 1, figure 5).
        partition: ``'equal'`` or ``'exponential'`` split of mixed convolutions.
        dilated: 3x3 dilated kernels in place of large ones (MixConv figure 6).
        padding: ``'symmetric'``, or ``'same'`` for TensorFlow's (tf_* weights).
        act: replaces every activation of the table, such as ``'Mish'``.
        norm_cfg: as in mmcv. The papers train with ``eps=1e-3, momentum=0.01``.
        frozen_stages: -1 freezes nothing, 0 the stem, n = 1 to 4 also the blocks up to
            c(n + 1), 5 everything.
        norm_eval: keep batch norm statistics fixed while training.
        with_cp: recompute block activations in the backward pass to save memory.
        channels_last: use the channels-last memory layout; None: only on a CPU, where it was
            measured to be faster. Outputs differ only by rounding.
        init_cfg: as in mmengine, such as ``dict(type='Pretrained', checkpoint=...)``; it is
            applied after our own initialisation, see `init_weights`.
        pretrained: None, which mmseg's own base configs pass; weights are named by ``init_cfg``.

    Raises:
        ValueError: a wrong argument; the message lists what is allowed.
    """

    tables: Mapping[str, Network] = {}

    def __init__(
        self,
        arch: str | Network | None = None,
        *,
        width: float = 1.0,
        fixed_stem: bool = False,
        out_taps: tuple[str, ...] = ("c4_expansion", "last"),
        out_indices: tuple[int, ...] | None = None,
        output_stride: int = 32,
        dilate_strided: bool = False,
        reduced_tail: str | None = None,
        kernel_sizes=None,
        partition: str = "equal",
        dilated: bool = False,
        padding: str = "symmetric",
        act: str | None = None,
        norm_cfg: Mapping = dict(type="BN"),
        frozen_stages: int = -1,
        norm_eval: bool = False,
        with_cp: bool = False,
        channels_last: bool | None = None,
        init_cfg=None,
        pretrained: None = None,
    ):
        super().__init__()
        if pretrained is not None:
            raise ValueError(
                f"pretrained={pretrained!r}: must be None; weights are named by "
                "init_cfg=dict(type='Pretrained', checkpoint=...)"
            )
        if out_indices is not None:
            for index in out_indices:
                check("out_indices", index, range(4))
            out_taps = tuple(f"c{index + 2}" for index in out_indices)
        check("output_stride", output_stride, STRIDES)
        check("reduced_tail", reduced_tail, TAILS)
        check("padding", padding, PADDINGS)
        check("frozen_stages", frozen_stages, range(-1, 6))
        network = _vary(self._table(arch), reduced_tail, kernel_sizes, act)
        network = scale(network, width, fixed_stem)
        layout = lay_out(network, output_stride, dilate_strided)
        places = find_places(network)
        self.network, self.width, self.init_cfg = network, width, init_cfg
        self.taps = find_taps(network, layout, places)
        for name in out_taps:
            check("out_taps", name, tuple(self.taps))
        self.out_taps = tuple(out_taps)
        self.frozen_stages, self.norm_eval, self.with_cp = frozen_stages, norm_eval, with_cp

        self._wanted = {name: places[name] for name in self.out_taps}
        deepest = max((place.block for place in self._wanted.values()), default=-1)
        self.stem = ConvNormAct(
            Stem(network.stem, padding, channels_last), network.stem, norm_cfg, network.stem_act
        )
        self.blocks = nn.ModuleList(
            InvertedResidual(
                block,
                squeezed=squeeze_channels(network, block),
                squeeze_act=network.squeeze_act or block.act,
                gate=network.gate,
                norm_cfg=norm_cfg,
                stride=layout[index][0],
                dilation=layout[index][1],
                partition=partition,
                dilated=dilated,
                padding=padding,
                stop=self._stop(index) if index == deepest else None,
            )
            for index, block in enumerate(network.blocks[: deepest + 1])
        )
        if deepest == len(network.blocks):
            self.last = pointwise(
                network.blocks[-1].out_channels, network.last, norm_cfg, network.last_act
            )
        self._freeze()

    def _table(self, arch: str | Network | None) -> Network:
        if isinstance(arch, Network):
            return arch
        arch = next(iter(self.tables), None) if arch is None else arch
        check("arch", arch, tuple(self.tables))
        return self.tables[arch]

    def _stop(self, index: int) -> str | None:
        """The last child of the deepest block that a tap needs, None for all of them."""
        children = [place.child for place in self._wanted.values() if place.block == index]
        if "out" in children:
            return None
        return "depthwise" if "depthwise" in children else "expand"

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        x = self.stem(x)
        found = {}
        for index, block in enumerate(self._chain()):
            names = [name for name, place in self._wanted.items() if place.block == index]
            if any(self._wanted[name].child != "out" for name in names):
                outputs = self._run(block.forward_taps, x)
                x = outputs.get("out")
            else:
                x = self._run(block, x)
                outputs = {"out": x}
            for name in names:
                found[name] = outputs[self._wanted[name].child]
        return tuple(found[name] for name in self.out_taps)

    def init_weights(self) -> None:
        """He initialisation by fan-in, then ``init_cfg``.

        The fan-in of a depthwise kernel is its own size. If a checkpoint fits only in part,
        the other values keep the He initialisation.
        """
        self.apply(_initialise)
        if self.init_cfg:
            from mmengine.model import initialize, update_init_info

            from mixnet_dense.registry import MODELS

            MODELS.import_from_location()  # registers timm:// and tv://
            if hasattr(self, "_params_init_info"):  # mmengine logs how values were set
                update_init_info(self, "He initialisation by fan-in")
            initialize(self, self.init_cfg)

    def _chain(self) -> list[nn.Module]:
        return [*self.blocks, self.last] if hasattr(self, "last") else list(self.blocks)

    def _run(self, function, x: Tensor):
        if self.with_cp and x.requires_grad:
            return torch.utils.checkpoint.checkpoint(function, x, use_reentrant=False)
        return function(x)

    def _frozen_modules(self) -> list[nn.Module]:
        if self.frozen_stages < 0:
            return []
        if self.frozen_stages == 5:
            return [self]
        if self.frozen_stages == 0:
            return [self.stem]
        end = last_at_stride(self.network, 2 ** (self.frozen_stages + 1)) + 1
        return [self.stem, *self.blocks[:end]]

    def _freeze(self) -> None:
        for module in self._frozen_modules():
            module.eval()
            for parameter in module.parameters():
                parameter.requires_grad = False

    def train(self, mode: bool = True):
        super().train(mode)
        if mode:
            self._freeze()
            if self.norm_eval:
                for module in self.modules():
                    if isinstance(module, _BatchNorm):
                        module.eval()
        return self


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, (_BatchNorm, nn.GroupNorm)) and module.affine:
        nn.init.ones_(module.weight)
        nn.init.zeros_(module.bias)


def check(name: str, value, allowed) -> None:
    """Raise ValueError unless ``value`` is one of ``allowed``."""
    if value not in allowed:
        raise ValueError(f"{name}={value!r}: must be one of {', '.join(map(repr, allowed))}")


def _vary(network, reduced_tail, kernel_sizes, act) -> Network:
    """The table with tail, kernels and activations changed."""
    if reduced_tail == "detection":
        network = halve_tail(network)
    elif reduced_tail == "segmentation":
        network = halve_tail_for_segmentation(network)
    if kernel_sizes is not None:
        network = with_kernels(network, kernel_sizes)
    return network if act is None else with_act(network, act)
