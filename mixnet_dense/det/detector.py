"""SSDLite as a whole: mmdet's single-stage detector, its widths read from the backbone.

Papers: https://arxiv.org/abs/1801.04381, section 6.2 (MobileNetV2);
https://arxiv.org/abs/1905.02244, section 6.3 (MobileNetV3).
"""

from collections.abc import Mapping

from mmdet.models.detectors import SingleStageDetector
from mmdet.registry import MODELS as HOST_MODELS
from torch import nn

from mixnet_dense.det.neck import EXTRA_CHANNELS
from mixnet_dense.registry import MODELS


@MODELS.register_module()
class SSDLite(SingleStageDetector):
    """Backbone, `SSDLiteNeck` and `SSDLiteHead`; missing channel counts are filled in.

    Images (N, 3, H, W) to class scores and box offsets of the backbone's maps and of four
    smaller ones. ``in_channels`` of neck and head come from ``backbone.taps``;
    ``extra_channels`` from the backbone's width multiplier, ``max(16, int(channels *
    width))``, unless the config gives them.

    Args:
        backbone: config of a backbone, of this package or another.
        neck: arguments of `SSDLiteNeck`.
        bbox_head: arguments of `SSDLiteHead`, ``num_classes`` at least.
        train_cfg, test_cfg: of the head.
        data_preprocessor, init_cfg: as in mmdet.

    Raises:
        ValueError: the backbone has no ``taps`` and the neck no ``in_channels``; or channels that
            are given do not follow from the backbone and the neck.
    """

    def __init__(
        self,
        backbone: Mapping,
        neck: Mapping | None = None,
        bbox_head: Mapping | None = None,
        train_cfg: Mapping | None = None,
        test_cfg: Mapping | None = None,
        data_preprocessor: Mapping | None = None,
        init_cfg=None,
    ):
        # The host builds all three parts at once; here neck and head follow the backbone.
        super(SingleStageDetector, self).__init__(data_preprocessor, init_cfg)
        self.backbone = HOST_MODELS.build(backbone)
        neck = {"type": "mixnet_dense.SSDLiteNeck", **(neck or {})}
        if "in_channels" not in neck:
            neck["in_channels"] = _widths(self.backbone)
        elif hasattr(self.backbone, "taps"):
            _check("neck.in_channels", neck["in_channels"], _widths(self.backbone))
        if "extra_channels" not in neck:
            width = getattr(self.backbone, "width", 1.0)
            neck["extra_channels"] = tuple(max(16, int(c * width)) for c in EXTRA_CHANNELS)
        self.neck = HOST_MODELS.build(neck)
        widths = (*neck["in_channels"], *neck["extra_channels"])
        head = {"type": "mixnet_dense.SSDLiteHead", "in_channels": widths, **(bbox_head or {})}
        _check("bbox_head.in_channels", head["in_channels"], widths)
        self.bbox_head = HOST_MODELS.build({**head, "train_cfg": train_cfg, "test_cfg": test_cfg})
        self.train_cfg, self.test_cfg = train_cfg, test_cfg


def _widths(backbone: nn.Module) -> tuple[int, ...]:
    """Channels of the maps that the backbone returns."""
    if not hasattr(backbone, "taps"):
        raise ValueError(
            f"neck.in_channels: must be given, {type(backbone).__name__} has no taps to read"
        )
    return tuple(backbone.taps[name].channels for name in backbone.out_taps)


def _check(name: str, given, wanted: tuple[int, ...]) -> None:
    if tuple(given) != wanted:
        raise ValueError(f"{name}={tuple(given)}: must be {wanted}, or left out")
