"""MobileNetV3's tables of segmentation costs, 7 and 8: https://arxiv.org/abs/1905.02244.

The paper names 1024 x 2048, the size of a Cityscapes image. Its code pads SAME from 1025 x
2049, where sides halve exactly (1025, 513, 257, 129, 65), and only there its counts come
out: at 1024 x 2048 they are 2 to 6.5 % lower, at half size up to 9 %. The printed
multiply-adds include element-wise operations; what those leave open is met by 43 more
operations per input pixel, a constant fitted to these same rows.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import torch
from torch import nn

from mixnet_dense.backbones import networks
from mixnet_dense.complexity import Analysis, analyse
from mixnet_dense.costs.cells import ELEMENTWISE_ONLY, Cell

SEGMENTATION = (
    "19 classes; params with batch norm; multiply-adds at 1025 x 2049, printed with "
    "element-wise operations; at 1024 x 2048 they are 2 to 6.5 % lower: see paper_segmentation.py"
)
_SHAPES = {"f": (1025, 2049), "h": (513, 1025)}
_PER_PIXEL = 43
_NORM = "no reading found for V2 with a halved last stage, whose multiply-adds agree"
_MACS_TOLERANCE = 0.05

# Row, backbone, its options, head, filters, printed parameters in millions and
# multiply-adds in billions.
_V2, _V3 = dict(kind="MobileNetV2"), dict(kind="MobileNetV3", arch="large")
_SMALL = dict(kind="MobileNetV3", arch="small")
_RF2 = dict(reduced_tail="segmentation")
_TABLE_7 = [
    ("1 V2", _V2, "R", 256, "2.11", "21.29"),
    ("2 V2 RF2", _V2 | _RF2, "R", 256, "1.15", "13.68"),
    ("3 V2 RF2", _V2 | _RF2, "LR", 256, "1.02", "12.83"),
    ("4 V2 RF2", _V2 | _RF2, "LR", 128, "0.98", "12.57"),
    ("5 V3", _V3, "R", 256, "3.60", "18.43"),
    ("6 V3 RF2", _V3 | _RF2, "R", 256, "1.76", "11.24"),
    ("7 V3 RF2", _V3 | _RF2, "LR", 256, "1.63", "10.33"),
    ("8 V3 RF2", _V3 | _RF2, "LR", 128, "1.51", "9.74"),
    ("9 V2 0.5 RF2", _V2 | _RF2 | dict(width=0.5), "LR", 128, "0.28", "4.00"),
    ("10 V2 0.35 RF2", _V2 | _RF2 | dict(width=0.35), "LR", 128, "0.16", "2.54"),
    ("11 V3-Small RF2", _SMALL | _RF2, "LR", 128, "0.47", "2.90"),
]
_UNREACHED = {"2", "3", "4", "10"}

# Row, backbone, output stride, printed multiply-adds in billions, full and half.
_TABLE_8 = [
    ("V3 OS16", _V3 | _RF2, 16, "9.74", "2.48"),
    ("V3 OS32", _V3 | _RF2, 32, "7.74", "1.98"),
    ("V3-Small OS16", _SMALL | _RF2, 16, "2.90", "0.74"),
    ("V3-Small OS32", _SMALL | _RF2, 32, "2.06", "0.53"),
]


def build_segmenter(
    backbone: nn.Module, head: str = "LR", channels: int = 128, num_classes: int = 19
) -> nn.Module:
    """Backbone and head: (N, 3, H, W) -> logits (N, num_classes, h, w).

    Args:
        backbone: with the taps of `head_taps`; at output stride 32 the gate pools over 25
            x 25 pixels, at 16 over 49 x 49.
        head: ``'LR'`` for LR-ASPP, ``'R'`` for R-ASPP.
        channels: the head's filters.
    """
    from mixnet_dense.seg import LRASPPHead, RASPPHead

    taps = [backbone.taps[name] for name in backbone.out_taps]
    if head == "R":
        return nn.Sequential(
            backbone, RASPPHead(taps[-1].channels, channels, num_classes=num_classes)
        )
    pool, stride = (25, (4, 5)) if taps[-1].stride == 32 else (49, (16, 20))
    widths = tuple(tap.channels for tap in taps)
    return nn.Sequential(
        backbone,
        LRASPPHead(widths, channels, pool=pool, pool_stride=stride, num_classes=num_classes),
    )


def head_taps(kind: str, head: str) -> tuple[str, ...]:
    """The maps a head reads: MobileNetV2 ends with its last block, V3 with its last conv."""
    deep = "last" if kind == "MobileNetV3" else "c5"
    return (deep,) if head == "R" else ("c3_depthwise", deep)


def segmentation_cells() -> Iterator[Cell]:
    """Every printed cell of tables 7 and 8, with ours."""
    for row, options, head, channels, params, macs in _TABLE_7:
        table, name = "MobileNetV3 table 7", f"{row} {head} {channels}"
        found = _count(_SHAPES["f"], head, channels, **options)
        why = _NORM if row.split()[0] in _UNREACHED else ""
        yield Cell(table, name, "params", params, 1e6, found.cost.params, why)
        yield _macs(table, name, macs, found, "f")
    for row, options, output_stride, *printed in _TABLE_8:
        for size, macs in zip(_SHAPES, printed, strict=True):
            found = _count(_SHAPES[size], "LR", 128, output_stride=output_stride, **options)
            yield _macs("MobileNetV3 table 8", f"{row} {size}", macs, found, size)


def _macs(table: str, row: str, printed: str, found: Analysis, size: str) -> Cell:
    height, width = _SHAPES[size]
    profiled = found.cost.macs + (found.operations + _PER_PIXEL * height * width) // 2
    options = dict(tolerance=_MACS_TOLERANCE, profiled=profiled)
    cell = Cell(table, row, "macs", printed, 1e9, found.cost.macs, **options)
    return cell if cell.agrees else replace(cell, why=ELEMENTWISE_ONLY)


@cache
def _count(
    shape: tuple[int, int], head: str, channels: int, kind: str, output_stride=16, **options
) -> Analysis:
    with torch.device("meta"):
        taps = head_taps(kind, head)
        backbone = getattr(networks, kind)(out_taps=taps, output_stride=output_stride, **options)
        return analyse(build_segmenter(backbone, head, channels), shape)
