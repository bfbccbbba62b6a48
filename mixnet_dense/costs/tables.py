"""The papers' printed costs, cell by cell, and how to build what each cell counts.

MobileNetV3: https://arxiv.org/abs/1905.02244, tables 3, 6 to 9. MixConv:
https://arxiv.org/abs/1907.09595, tables 1 and 2. MobileNetV1:
https://arxiv.org/abs/1704.04861, tables 6 and 7. Each table says how it was counted; the
conventions were found by comparing, the papers do not state them.
"""

from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor, nn

from mixnet_dense.backbones import build_classifier, networks
from mixnet_dense.complexity import Cost, measure
from mixnet_dense.costs.cells import ONE_DIGIT, WITH_ELEMENTWISE, Cell
from mixnet_dense.costs.segmentation import SEGMENTATION, segmentation_cells

CONVENTIONS = {
    "MobileNetV3 table 3": "params with batch norm, multiply-adds of convolutions and SE",
    "MobileNetV3 table 6": "params without batch norm; 91 class slots, V1 and V2 1.0: 81",
    "MobileNetV3 table 7": SEGMENTATION,
    "MobileNetV3 table 8": "as table 7; f the full image, h half of it",
    "MobileNetV3 table 9": "params with batch norm, 1280 behind the pooling never scaled",
    "MixConv table 1": "params with batch norm, 81 class slots",
    "MixConv table 2": "params with batch norm",
    "MobileNetV1 tables 6, 7": "params with batch norm",
}
_QUOTED = "quoted there from elsewhere; the source's own figure differs"
_LAST_DIGIT = "last printed digit"
_CUT = "printed digits look cut off, not rounded"


class _Detector(nn.Module):
    def __init__(self, backbone: nn.Module, neck: nn.Module, head: nn.Module):
        super().__init__()
        self.backbone, self.neck, self.bbox_head = backbone, neck, head

    def forward(self, x: Tensor):
        return self.bbox_head(self.neck(self.backbone(x)))


def build_ssdlite(backbone: nn.Module, num_classes: int, width: float = 1.0) -> nn.Module:
    """Backbone, `SSDLiteNeck` and `SSDLiteHead`: (N, 3, H, W) -> scores and boxes per map.

    Args:
        backbone: with the default taps, C4 and C5.
        num_classes: without the background.
        width: of the extra layers, ``max(16, int(channels * width))``.
    """
    from mixnet_dense.det import SSDLiteHead, SSDLiteNeck

    channels = tuple(backbone.taps[name].channels for name in backbone.out_taps)
    extra = tuple(max(16, int(c * width)) for c in (512, 256, 256, 128))
    return _Detector(
        backbone, SSDLiteNeck(channels, extra), SSDLiteHead(num_classes, (*channels, *extra))
    )


@cache
def _classifier(name: str, width: float, size: int) -> Cost:
    with torch.device("meta"):
        model = build_classifier(name, width)
    return measure(model, (size, size))


@cache
def _ssdlite(kind: str, arch: str, slots: int, width: float = 1.0, **options) -> Cost:
    with torch.device("meta"):
        backbone = getattr(networks, kind)(arch, width=width, **options)
        model = build_ssdlite(backbone, slots - 1, width)
    return measure(model, (320, 320))


def _pair(table, row, cost: Cost, params, macs, unit, why=("", ""), norm=True) -> Iterator[Cell]:
    if params:
        value = cost.params if norm else cost.params_without_norm
        yield Cell(table, row, "params", params, 1e6, value, why[0])
    if macs:
        yield Cell(table, row, "macs", macs, unit, cost.macs, why[1])


# Row, network, width, printed multiply-adds in millions, printed parameters in millions.
_V3_TABLE_3 = [
    ("V3-Large 1.0", "mobilenetv3_large", 1.0, "219", "5.4", (_CUT, WITH_ELEMENTWISE)),
    ("V3-Large 0.75", "mobilenetv3_large", 0.75, "155", "4", ("", "")),
    ("MnasNet-A1", "mnasnet_a1", 1.0, "315", "3.9", ("", "MixConv prints 312 for it")),
    ("V2 1.0", "mobilenetv2", 1.0, "300", "3.4", (_QUOTED, "")),
    ("V3-Small 1.0", "mobilenetv3_small", 1.0, "66", "2.9", ("", "contradicts its own 74 at 256")),
    ("V3-Small 0.75", "mobilenetv3_small", 0.75, "44", "2.4", ("", "")),
    ("V2 0.35", "mobilenetv2", 0.35, "59.2", "1.6", (_QUOTED, "")),
]

# Network, image side, width, printed multiply-adds and parameters in millions.
_V3_TABLE_9 = [
    ("large", 224, 1.25, "356", "7.5", (_CUT, _LAST_DIGIT)),
    ("large", 224, 1.0, "217", "5.4", (_CUT, "")),
    ("large", 224, 0.75, "155", "4.0", ("", "")),
    ("large", 224, 0.5, "69", "2.6", (_CUT, "")),
    ("large", 224, 0.35, "40", "2.2", ("no reading found", _LAST_DIGIT)),
    *(
        ("large", size, 1.0, macs, "5.4", (_CUT, ""))
        for size, macs in ((256, "282"), (192, "160"), (160, "112"), (128, "73"), (96, "43"))
    ),
    ("small", 224, 1.25, "91", "3.6", ("", "")),
    ("small", 224, 1.0, "66", "2.9", ("", "contradicts its own 74 at 256")),
    ("small", 224, 0.75, "44", "2.4", ("", "")),
    ("small", 224, 0.5, "23", "1.9", ("", "no variant found")),
    ("small", 224, 0.35, "13", "1.7", ("", "")),
    *(
        ("small", size, 1.0, macs, "2.9", ("", ""))
        for size, macs in ((256, "74"), (192, "42"), (160, "30"), (128, "20"), (96, "12"))
    ),
]

# Row, backbone, table, class slots, options, printed parameters in millions, multiply-adds
# in billions.
_PROFILER = "reached with the profiler's element-wise operations only"
_V3_TABLE_6 = [
    ("V1", "MobileNetV1", "v1", 81, {}, "5.1", "1.3", ""),
    ("V2", "MobileNetV2", "detection", 81, {}, "4.3", "0.80", ONE_DIGIT),
    ("MnasNet", "MnasNet", "detection", 91, {}, "4.88", "0.84", ""),
    ("V3", "MobileNetV3", "large", 91, {}, "4.97", "0.62", _PROFILER),
    ("V3 †", "MobileNetV3", "large", 91, dict(reduced_tail="detection"), "3.22", "0.51", ""),
    ("V2 0.35", "MobileNetV2", "detection", 91, dict(width=0.35), "0.93", "0.16", _CUT),
    ("V2 0.5", "MobileNetV2", "detection", 91, dict(width=0.5), "1.54", "0.27", ""),
    ("MnasNet 0.35", "MnasNet", "detection", 91, dict(width=0.35), "1.02", "0.18", ""),
    ("MnasNet 0.5", "MnasNet", "detection", 91, dict(width=0.5), "1.68", "0.29", ""),
    ("V3-Small", "MobileNetV3", "small", 91, {}, "2.49", "0.21", ""),
    ("V3-Small †", "MobileNetV3", "small", 91, dict(reduced_tail="detection"), "1.77", "0.16", ""),
]

# Row, kernels, then printed parameters in millions and multiply-adds in billions of V1, V2.
_MIXCONV_TABLE_1 = [
    ("baseline 3x3", None, ("5.12", "1.31"), ("4.35", "0.79")),
    ("depthwise 5x5", (5,), ("5.20", "1.38"), ("4.47", "0.87")),
    ("mixconv 35", (3, 5), ("5.16", "1.35"), ("4.41", "0.83")),
    ("depthwise 7x7", (7,), ("5.32", "1.47"), ("4.64", "0.98")),
    ("mixconv 357", (3, 5, 7), ("5.22", "1.39"), ("4.49", "0.88")),
]

# Row, network, width, printed parameters and multiply-adds in millions.
_NO_RULE = "no one rule of counting reaches all three MixNets"
_MIXCONV_TABLE_2 = [
    ("MobileNetV1", "mobilenetv1", 1.0, "4.2", "575", ("", _QUOTED)),
    ("MobileNetV2", "mobilenetv2", 1.0, "3.4", "300", (_QUOTED, "")),
    ("MobileNetV2 1.4", "mobilenetv2", 1.4, "6.9", "585", (_QUOTED, "")),
    ("MnasNet-A1", "mnasnet_a1", 1.0, "3.9", "312", ("", "")),
    ("V3-Large", "mobilenetv3_large", 1.0, "5.4", "217", (_CUT, "")),
    ("V3-Large 1.25", "mobilenetv3_large", 1.25, "7.5", "356", (_CUT, _LAST_DIGIT)),
    ("MixNet-S", "mixnet_s", 1.0, "4.1", "256", ("", _NO_RULE)),
    ("MixNet-M", "mixnet_m", 1.0, "5.0", "360", ("", _NO_RULE)),
    ("MixNet-L", "mixnet_l", 1.0, "7.3", "565", ("", _NO_RULE)),
]

# Width, printed parameters, then multiply-adds in millions at 224, 192, 160 and 128.
_V1_SIZES = (224, 192, 160, 128)
_V1_TABLES = [
    (1.0, "4.2", ("569", "418", "291", "186")),
    (0.75, "2.6", ("325", "239", "167", "107")),
    (0.5, "1.32", ("149", "110", "76", "49")),
    (0.25, "0.47", ("41", "30", "21", "14")),
]
_V1_UNREACHED = {(0.75, 160), (0.5, 160)}


HOSTS = {
    "MobileNetV3 table 6": "mmdet",
    "MixConv table 1": "mmdet",
    "MobileNetV3 table 7": "mmseg",
    "MobileNetV3 table 8": "mmseg",
}
"""What must be installed to build a table's networks, beyond torch."""


def cells() -> list[Cell]:
    """Every printed cell, with ours; without the tables whose `HOSTS` are not installed."""
    found = list(_classification_cells())
    if find_spec("mmdet"):
        found += _detection_cells()
    if find_spec("mmseg"):
        found += segmentation_cells()
    return sorted(found, key=lambda cell: list(CONVENTIONS).index(cell.table))


def _detection_cells() -> Iterator[Cell]:
    for row, kind, arch, slots, options, params, macs, why in _V3_TABLE_6:
        cost = _ssdlite(kind, arch, slots, **options)
        table = "MobileNetV3 table 6"
        yield from _pair(table, row, cost, params, macs, 1e9, ("", why), norm=False)
    for row, kernels, *printed in _MIXCONV_TABLE_1:
        families = (("MobileNetV1", "v1"), ("MobileNetV2", "detection"))
        for (kind, arch), (params, macs) in zip(families, printed, strict=True):
            cost = _ssdlite(kind, arch, 81, kernel_sizes=kernels)
            yield from _pair("MixConv table 1", f"{kind[-2:]} {row}", cost, params, macs, 1e9)


def _classification_cells() -> Iterator[Cell]:
    for row, name, width, macs, params, why in _V3_TABLE_3:
        cost = _classifier(name, width, 224)
        yield from _pair("MobileNetV3 table 3", row, cost, params, macs, 1e6, why)
    for kind, size, width, macs, params, why in _V3_TABLE_9:
        cost = _classifier(f"mobilenetv3_{kind}", width, size)
        row = f"{kind} {size}/{width}"
        yield from _pair("MobileNetV3 table 9", row, cost, params, macs, 1e6, why)
    for row, name, width, params, macs, why in _MIXCONV_TABLE_2:
        cost = _classifier(name, width, 224)
        yield from _pair("MixConv table 2", row, cost, params, macs, 1e6, why)
    for width, params, row in _V1_TABLES:
        for size, macs in zip(_V1_SIZES, row, strict=True):
            cost = _classifier("mobilenetv1", width, size)
            why = (_LAST_DIGIT if width == 0.5 else "",) + (
                _LAST_DIGIT if (width, size) in _V1_UNREACHED else "",
            )
            shown = params if size == 224 else None
            name = f"{width} at {size}"
            yield from _pair("MobileNetV1 tables 6, 7", name, cost, shown, macs, 1e6, why)
