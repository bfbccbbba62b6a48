"""The four extra layers of SSDLite, on mmdet's SSDNeck.

Paper: https://arxiv.org/abs/1801.04381, section 6.2; MobileNetV3, section 6.3.
"""

from collections.abc import Sequence

from mmdet.models.necks import SSDNeck
from torch import Tensor, nn

from mixnet_dense.backbones.backbone import check
from mixnet_dense.backbones.blocks import own_norm
from mixnet_dense.backbones.mixconv import PADDINGS, pad_same
from mixnet_dense.registry import MODELS

# The initialisation of the released SSDLite configurations outside the backbone.
INIT = [
    dict(type="TruncNormal", layer="Conv2d", std=0.03),
    dict(type="Constant", val=1, layer="BatchNorm2d"),
]
EXTRA_CHANNELS = (512, 256, 256, 128)


@MODELS.register_module()
class SameConv2d(nn.Conv2d):
    """A convolution with TensorFlow's SAME padding; with stride 1 the given padding is equal."""

    def __init__(self, inputs, outputs, kernel_size, stride=1, padding=0, **options):
        self.same = stride > 1
        padding = 0 if self.same else padding
        super().__init__(inputs, outputs, kernel_size, stride, padding, **options)

    def forward(self, x: Tensor) -> Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        return super().forward(pad_same(x, kernel, stride) if self.same else x)


@MODELS.register_module()
class SSDLiteNeck(SSDNeck):
    """C4 and C5 unchanged, then extra maps, each half the size of the map before.

    An extra layer is a 1x1 convolution to half its width, a 3x3 depthwise convolution
    of stride 2 and a 1x1 convolution to its width, each with batch norm and ReLU6. At
    320 x 320 the maps are 20, 10, 5, 3, 2 and 1 pixels wide.

    Args:
        in_channels: of C4 and C5.
        extra_channels: width of each extra map. With a width multiplier the papers use
            ``max(16, int(channels * width))``.
        padding: ``'symmetric'``, or ``'same'`` for TensorFlow's.
        norm_cfg, act_cfg, init_cfg: as in mmcv.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        extra_channels: Sequence[int] = EXTRA_CHANNELS,
        padding: str = "symmetric",
        norm_cfg=dict(type="BN"),
        act_cfg=dict(type="ReLU6"),
        init_cfg=INIT,
    ):
        check("padding", padding, PADDINGS)
        extra = len(extra_channels)
        super().__init__(
            in_channels=tuple(in_channels),
            out_channels=(*in_channels, *extra_channels),
            level_strides=(2,) * extra,
            level_paddings=(1,) * extra,
            l2_norm_scale=None,
            use_depthwise=True,
            conv_cfg=dict(type="mixnet_dense.SameConv2d") if padding == "same" else None,
            norm_cfg=own_norm(norm_cfg),
            act_cfg=act_cfg,
            init_cfg=init_cfg,
        )
