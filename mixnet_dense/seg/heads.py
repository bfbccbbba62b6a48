"""The mobile segmentation heads: LR-ASPP and R-ASPP.

Paper: https://arxiv.org/abs/1905.02244, section 6.4, figure 10 and tables 7 and 8. The
order of LR-ASPP's operations, its biases and pooling sizes are those that reproduce the
paper's multiply-adds; mmseg's LRASPPHead is a different network.
"""

from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixnet_dense.backbones.algorithms import in_layout_of
from mixnet_dense.backbones.blocks import build_act, pointwise, upsample
from mixnet_dense.backbones.taps import Tap
from mixnet_dense.registry import MODELS
from mixnet_dense.seg.losses import PixelLossHead

INIT = dict(type="Normal", std=0.01, override=dict(name="conv_seg"))  # as in mmseg
# The paper's pooling by the output stride of the high map.
_WINDOWS = {16: dict(pool=49, pool_stride=(16, 20)), 32: dict(pool=25, pool_stride=(4, 5))}


def pool_whole_or_window(x: Tensor, window: int | None, stride: tuple[int, int]) -> Tensor:
    """Average (N, C, H, W) over windows; a window larger than the map becomes the map.

    ``window=None`` pools globally. The border may cut the last window of a row or column, so
    that every pixel counts. The result is (N, C, h, w) with h and w at least 1.
    """
    if window is None:
        return F.adaptive_avg_pool2d(x, 1)
    if any(isinstance(size, torch.SymInt) for size in x.shape[-2:]):
        rows, columns = map(partial(_means, window, x), stride, x.shape[-2:])
        return rows @ x @ columns.T
    height, width = (min(window, size) for size in x.shape[-2:])
    return F.avg_pool2d(x, (height, width), stride, ceil_mode=True)


def _means(window: int, x: Tensor, stride: int, size: torch.SymInt) -> Tensor:
    """Weights (windows, size) that average the windows of one side as a matrix product.

    This is for exported files that take images of any size. There the size of the map is a
    symbol, but a pooling operator needs the size of its window as a number.
    """
    first = max(window, stride)
    place = torch.arange(size, device=x.device)
    more = place[first::stride] - first + stride  # a slice ends with the map by itself
    start = torch.cat((place[:1], more))[:, None]
    inside = ((place >= start) & (place < start + window)).to(x.dtype)
    return inside / inside.sum(1, keepdim=True)


@MODELS.register_module()
class LRASPPHead(PixelLossHead):
    """Lite R-ASPP: (low, high) maps to (N, num_classes, h, w) logits at the low map's size.

    The high map goes through a 1x1 convolution and is multiplied by a gate, which is made from
    the pooled high map. The product is upsampled and classified; the classified low map is added.

    Args:
        in_channels: of the low (output stride 8) and the high map.
        channels: filters F of the head, 128 or 256 in the paper.
        num_classes: without the ignored label.
        pool: window of the gate's pooling in pixels of the high map: 49 at output stride
            16 and 25 at 32 in the paper, None for the whole map (torchvision).
        pool_stride: its stride (rows, columns), (16, 20) and (4, 5).
        gate: ``'HSigmoid'``, or ``'Sigmoid'`` (torchvision).
        gate_bias: whether the gate's convolution has a bias (torchvision: no).

    The other arguments are those of mmseg's BaseDecodeHead.
    """

    class_convs = {"conv_seg": 0, "low_seg": 0}  # see `weights.transfer`

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: int = 128,
        *,
        num_classes: int,
        pool: int | None = 49,
        pool_stride: tuple[int, int] = (16, 20),
        gate: str = "HSigmoid",
        gate_bias: bool = True,
        norm_cfg=dict(type="BN"),
        dropout_ratio: float = 0.0,
        out_channels: int | None = None,
        threshold: float | None = None,
        loss_decode=dict(type="CrossEntropyLoss"),
        ignore_index: int = 255,
        sampler=None,
        align_corners: bool = False,
        init_cfg=INIT,
    ):
        super().__init__(
            in_channels=tuple(in_channels),
            channels=channels,
            num_classes=num_classes,
            in_index=(0, 1),
            input_transform="multiple_select",
            norm_cfg=norm_cfg,
            dropout_ratio=dropout_ratio,
            out_channels=out_channels,
            threshold=threshold,
            loss_decode=loss_decode,
            ignore_index=ignore_index,
            sampler=sampler,
            align_corners=align_corners,
            init_cfg=init_cfg,
        )
        low, high = self.in_channels
        self.pool, self.pool_stride = pool, tuple(pool_stride)
        self.project = pointwise(high, channels, norm_cfg, "ReLU")
        self.gate = nn.Sequential(nn.Conv2d(high, channels, 1, bias=gate_bias), build_act(gate))
        self.low_seg = nn.Conv2d(low, self.out_channels, 1)

    @staticmethod
    def from_taps(taps: Sequence[Tap]) -> dict:
        """``in_channels`` and, at output stride 16 or 32, the paper's pooling.

        Args:
            taps: of the maps that the backbone returns, low and high.

        Raises:
            ValueError: they are not two.
        """
        if len(taps) != 2:
            raise ValueError(f"out_taps: LRASPPHead reads two maps, low and high, not {len(taps)}")
        window = _WINDOWS.get(taps[-1].stride, {})
        return {"in_channels": tuple(tap.channels for tap in taps), **window}

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        low, high = self._transform_inputs(inputs)
        gate = self.gate(pool_whole_or_window(high, self.pool, self.pool_stride))
        features = self.project(high) * upsample(gate, high.shape[-2:])
        return self.cls_seg(upsample(features, low.shape[-2:])) + self.low_seg(low)


@MODELS.register_module()
class RASPPHead(PixelLossHead):
    """R-ASPP of MobileNetV2: (N, C, H, W) to (N, num_classes, H, W) logits, no skip.

    A 1x1 convolution of the map and one of its global mean are concatenated and fused by a third.

    Args:
        in_channels: of the map it reads.
        channels: filters F of the head, 256 in the paper.
        num_classes: without the ignored label.
        in_index: which of the backbone's maps it reads, the last by default.

    The other arguments are those of mmseg's BaseDecodeHead.
    """

    class_convs = {"conv_seg": 0}  # see `weights.transfer`

    def __init__(
        self,
        in_channels: int,
        channels: int = 256,
        *,
        num_classes: int,
        in_index: int = -1,
        norm_cfg=dict(type="BN"),
        dropout_ratio: float = 0.0,
        out_channels: int | None = None,
        threshold: float | None = None,
        loss_decode=dict(type="CrossEntropyLoss"),
        ignore_index: int = 255,
        sampler=None,
        align_corners: bool = False,
        init_cfg=INIT,
    ):
        super().__init__(
            in_channels=in_channels,
            channels=channels,
            num_classes=num_classes,
            in_index=in_index,
            norm_cfg=norm_cfg,
            dropout_ratio=dropout_ratio,
            out_channels=out_channels,
            threshold=threshold,
            loss_decode=loss_decode,
            ignore_index=ignore_index,
            sampler=sampler,
            align_corners=align_corners,
            init_cfg=init_cfg,
        )
        self.image = pointwise(in_channels, channels, norm_cfg, "ReLU")
        self.project = pointwise(in_channels, channels, norm_cfg, "ReLU")
        self.fuse = pointwise(2 * channels, channels, norm_cfg, "ReLU")

    @staticmethod
    def from_taps(taps: Sequence[Tap]) -> dict:
        """``in_channels``, those of the last map that the backbone returns."""
        return {"in_channels": taps[-1].channels}

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        x = self._transform_inputs(inputs)
        image = upsample(self.image(F.adaptive_avg_pool2d(x, 1)), x.shape[-2:])
        image = in_layout_of(x, image)  # the layout of one pixel is ambiguous
        return self.cls_seg(self.fuse(torch.cat([image, self.project(x)], 1)))
