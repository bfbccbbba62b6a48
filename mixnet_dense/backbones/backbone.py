"""The backbone: an `arch.Network` table made into a module with named taps."""

from collections.abc import Mapping

import torch.utils.checkpoint
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mixnet_dense.backbones.arch import (
    Network,
    check,
    halve_tail,
    halve_tail_for_segmentation,
    last_at_stride,
    scale,
    with_act,
    with_kernels,
)
from mixnet_dense.backbones.blocks import ConvNormAct, InvertedResidual, pointwise
from mixnet_dense.backbones.found import read_network
from mixnet_dense.backbones.mixconv import PADDINGS, pad_same
from mixnet_dense.backbones.taps import OUT, FeatureInfo, Place, find_places, find_taps, lay_out

STRIDES = (32, 16, 8)
TAILS = {
    None: lambda network: network,
    "detection": halve_tail,
    "segmentation": halve_tail_for_segmentation,
}


class Stem(nn.Conv2d):
    """The 3x3 stride-2 convolution (N, 3, H, W) -> (N, C, ceil(H / 2), ceil(W / 2)).

    torch gives the output of a convolution the memory layout of its weights, and all later maps
    take it. So the maps become channels_last, and no copy of the images is kept.
    """

    def __init__(self, channels: int, padding: str, channels_last: bool | None):
        self.same, self.channels_last = padding == "same", channels_last
        super().__init__(3, channels, 3, stride=2, padding=0 if self.same else 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        weight, last = self.weight, self.channels_last
        if weight.device.type == "cpu" if last is None else last:
            weight = weight.contiguous(memory_format=torch.channels_last)
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
        arch: name of a table of the family (default: its first); or the table that is built, as
            a `Network` or a file ``'….json'``, see `found`: ``width``, ``fixed_stem``,
            ``reduced_tail``, ``kernel_sizes`` and ``act`` do not act on it.
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
        if isinstance(arch, str) and arch.endswith(".json"):
            arch = read_network(arch)
        network = arch
        if not isinstance(arch, Network):
            network = TAILS[reduced_tail](self._table(arch))
            if kernel_sizes is not None:
                network = with_kernels(network, kernel_sizes)
            if act is not None:
                network = with_act(network, act)
            network = scale(network, width, fixed_stem)
        strides, dilations = lay_out(network, output_stride, dilate_strided)
        places = find_places(network)
        self.network, self.width, self.init_cfg = network, width, init_cfg
        self.layout = list(zip(strides, dilations, strict=True))  # of the depthwise convolutions
        self.taps = find_taps(network, strides, places)
        for name in out_taps:
            check("out_taps", name, tuple(self.taps))
        self.out_taps = tuple(out_taps)
        self.frozen_stages, self.norm_eval, self.with_cp = frozen_stages, norm_eval, with_cp

        self._wanted = {name: places[name] for name in self.out_taps}
        deepest = max(self._wanted.values(), default=Place(-1))
        self.stem = ConvNormAct(
            Stem(network.stem, padding, channels_last), network.stem, norm_cfg, network.stem_act
        )
        self.blocks = nn.ModuleList(
            InvertedResidual(
                network,
                block,
                norm_cfg=norm_cfg,
                stride=strides[index],
                dilation=dilations[index],
                mixing=dict(partition=partition, dilated=dilated, padding=padding),
                until=deepest.map if index == deepest.block else OUT,
            )
            for index, block in enumerate(network.blocks[: deepest.block + 1])
        )
        if deepest.block == len(network.blocks):
            self.last = pointwise(
                network.blocks[-1].out_channels, network.last, norm_cfg, network.last_act
            )
        self._freeze()

    def _table(self, arch: str | None) -> Network:
        arch = next(iter(self.tables), None) if arch is None else arch
        if arch not in tuple(self.tables):
            allowed = ", ".join(map(repr, self.tables))
            raise ValueError(f"arch={arch!r}: must be one of {allowed}, or a .json file")
        return self.tables[arch]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        x = self.stem(x)
        found = {}
        for index, block in enumerate(self.blocks):
            if self.with_cp and x.requires_grad:
                maps = torch.utils.checkpoint.checkpoint(block, x, use_reentrant=False)
            else:
                maps = block(x)
            for name, place in self._wanted.items():
                if place.block == index:
                    found[name] = maps[place.map]
            x = maps[-1]
            del maps  # frees the maps inside the block
        if hasattr(self, "last"):
            found["last"] = self.last(x)
        return tuple(found[name] for name in self.out_taps)

    @property
    def feature_info(self) -> FeatureInfo:
        """timm's description of the returned maps; ``module`` is the tap's name."""
        taps = ((name, self.taps[name]) for name in self.out_taps)
        return FeatureInfo(
            dict(num_chs=tap.channels, reduction=tap.stride, module=name) for name, tap in taps
        )

    @property
    def num_features(self) -> int:
        """Channels of the last returned map, by timm's name."""
        return self.feature_info.channels()[-1]

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

    def _freeze(self) -> None:
        stages = self.frozen_stages
        frozen = [self] if stages == 5 else [self.stem] if stages >= 0 else []
        if 1 <= stages <= 4:
            frozen += self.blocks[: last_at_stride(self.network, 2 ** (stages + 1)) + 1]
        for module in frozen:
            module.eval().requires_grad_(False)

    def train(self, mode: bool = True):
        super().train(mode)
        if mode:
            self._freeze()
            for module in self.modules():
                if self.norm_eval and isinstance(module, _BatchNorm):
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
