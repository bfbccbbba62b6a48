"""What the papers print, number by number, and how each table was counted.

MobileNetV3: https://arxiv.org/abs/1905.02244, tables 3 and 6 to 9. MixConv:
https://arxiv.org/abs/1907.09595, tables 1 and 2. MobileNetV1:
https://arxiv.org/abs/1704.04861, tables 6 and 7. The papers do not say how they count; the
conventions below were found by comparing.

Tables 7 and 8 name 1024 x 2048, the size of a Cityscapes image. The paper's code pads from 1025
x 2049, where sides halve exactly (1025, 513, 257, 129, 65), and its counts come out only there:
at 1024 x 2048 multiply-adds are 2 to 6.5 % lower, at half size up to 9 %.
"""

from typing import NamedTuple


class Table(NamedTuple):
    """A printed table and how it was counted.

    ``rows`` has by name what to build and the printed parameters in millions and multiply-adds
    in ``unit``; each as printed, a pair with a note where ours differs, or None.
    """

    counted: str  # in words
    rows: dict[str, tuple]
    host: str | None = None  # the library that is needed to build its networks
    unit: float = 1e6  # of the printed multiply-adds
    norm: bool = True  # parameters include those of batch norm
    elementwise: bool = False  # multiply-adds are `complexity.Analysis.profiled`


# Printed numbers that follow no reading of the papers, by what is known of them.
QUOTED = "quoted there from elsewhere; the source's own figure differs"
CUT = "printed digits look cut off, not rounded"
ELSEWHERE_312 = "MixConv prints 312 for it"
CONTRADICTS = "contradicts its own 74 at 256"
NOT_FOUND = "no reading found"
NO_RULE = "no one rule of counting reaches all three MixNets"
HALVED_V2 = "no reading found for V2 with a halved last stage, whose multiply-adds agree"
NO_READING = {QUOTED, CUT, ELSEWHERE_312, CONTRADICTS, NOT_FOUND, NO_RULE, HALVED_V2}
# Others that ours differs from.
ELEMENTWISE = "rounds to it with element-wise operations"
ONE_DIGIT = "MobileNetV2's own paper prints 0.8"
UNNAMED = "the print has more operations, which the paper does not name"

# ImageNet: network, width, image side; parameters and multiply-adds in millions.
_V3_TABLE_3 = {
    "V3-Large 1.0": ("mobilenetv3_large", 1.0, 224, ("5.4", CUT), ("219", ELEMENTWISE)),
    "V3-Large 0.75": ("mobilenetv3_large", 0.75, 224, "4", "155"),
    "MnasNet-A1": ("mnasnet_a1", 1.0, 224, "3.9", ("315", ELSEWHERE_312)),
    "V2 1.0": ("mobilenetv2", 1.0, 224, ("3.4", QUOTED), "300"),
    "V3-Small 1.0": ("mobilenetv3_small", 1.0, 224, "2.9", ("66", CONTRADICTS)),
    "V3-Small 0.75": ("mobilenetv3_small", 0.75, 224, "2.4", "44"),
    "V2 0.35": ("mobilenetv2", 0.35, 224, ("1.6", QUOTED), "59.2"),
}
_V3_TABLE_9 = {
    f"{arch} {side}/{width}": (f"mobilenetv3_{arch}", width, side, params, macs)
    for arch, width, side, params, macs in [
        ("large", 1.25, 224, "7.5", "356"),
        ("large", 1.0, 224, ("5.4", CUT), "217"),
        ("large", 0.75, 224, "4.0", "155"),
        ("large", 0.5, 224, ("2.6", CUT), "69"),
        ("large", 0.35, 224, ("2.2", NOT_FOUND), ("40", NOT_FOUND)),
        *(
            ("large", 1.0, side, ("5.4", CUT), macs)
            for side, macs in ((256, "282"), (192, "160"), (160, "112"), (128, "73"), (96, "43"))
        ),
        ("small", 1.25, 224, "3.6", "91"),
        ("small", 1.0, 224, "2.9", ("66", CONTRADICTS)),
        ("small", 0.75, 224, "2.4", "44"),
        ("small", 0.5, 224, "1.9", ("23", NOT_FOUND)),
        ("small", 0.35, 224, "1.7", "13"),
        *(
            ("small", 1.0, side, "2.9", macs)
            for side, macs in ((256, "74"), (192, "42"), (160, "30"), (128, "20"), (96, "12"))
        ),
    ]
}
_MIXCONV_TABLE_2 = {
    "MobileNetV1": ("mobilenetv1", 1.0, 224, "4.2", ("575", QUOTED)),
    "MobileNetV2": ("mobilenetv2", 1.0, 224, ("3.4", QUOTED), "300"),
    "MobileNetV2 1.4": ("mobilenetv2", 1.4, 224, ("6.9", QUOTED), "585"),
    "MnasNet-A1": ("mnasnet_a1", 1.0, 224, "3.9", "312"),
    "V3-Large": ("mobilenetv3_large", 1.0, 224, ("5.4", CUT), "217"),
    "V3-Large 1.25": ("mobilenetv3_large", 1.25, 224, "7.5", "356"),
    "MixNet-S": ("mixnet_s", 1.0, 224, "4.1", ("256", NO_RULE)),
    "MixNet-M": ("mixnet_m", 1.0, 224, "5.0", ("360", NO_RULE)),
    "MixNet-L": ("mixnet_l", 1.0, 224, "7.3", ("565", NO_RULE)),
}
_V1_TABLES = {
    f"{width} at {side}": ("mobilenetv1", width, side, params if side == 224 else None, macs)
    for width, params, row in [
        (1.0, "4.2", ("569", "418", "291", "186")),
        (0.75, "2.6", ("325", "239", "167", "107")),
        (0.5, "1.32", ("149", "110", "76", "49")),
        (0.25, "0.47", ("41", "30", "21", "14")),
    ]
    for side, macs in zip((224, 192, 160, 128), row, strict=True)
}

# SSDLite: backbone, class slots; parameters in millions and multiply-adds in billions.
_V1 = dict(type="mixnet_dense.MobileNetV1")
_V2 = dict(type="mixnet_dense.MobileNetV2", arch="detection")
_MNAS = dict(type="mixnet_dense.MnasNet", arch="detection")
_LARGE, _SMALL = (dict(type="mixnet_dense.MobileNetV3", arch=arch) for arch in ("large", "small"))
_HALVED = dict(reduced_tail="detection")
_V3_TABLE_6 = {
    "V1": (_V1, 81, "5.1", "1.3"),
    "V2": (_V2, 81, "4.3", ("0.80", ONE_DIGIT)),
    "MnasNet": (_MNAS, 91, "4.88", "0.84"),
    "V3": (_LARGE, 91, "4.97", ("0.62", ELEMENTWISE)),
    "V3 †": (_LARGE | _HALVED, 91, "3.22", "0.51"),
    "V2 0.35": (_V2 | dict(width=0.35), 91, "0.93", ("0.16", CUT)),
    "V2 0.5": (_V2 | dict(width=0.5), 91, "1.54", "0.27"),
    "MnasNet 0.35": (_MNAS | dict(width=0.35), 91, "1.02", "0.18"),
    "MnasNet 0.5": (_MNAS | dict(width=0.5), 91, "1.68", "0.29"),
    "V3-Small": (_SMALL, 91, "2.49", "0.21"),
    "V3-Small †": (_SMALL | _HALVED, 91, "1.77", "0.16"),
}
_MIXCONV_TABLE_1 = {
    f"{name} {row}": (backbone | dict(kernel_sizes=kernels), 81, *pair)
    for row, kernels, *pairs in [
        ("baseline 3x3", None, ("5.12", "1.31"), ("4.35", "0.79")),
        ("depthwise 5x5", (5,), ("5.20", "1.38"), ("4.47", "0.87")),
        ("mixconv 35", (3, 5), ("5.16", "1.35"), ("4.41", "0.83")),
        ("depthwise 7x7", (7,), ("5.32", "1.47"), ("4.64", "0.98")),
        ("mixconv 357", (3, 5, 7), ("5.22", "1.39"), ("4.49", "0.88")),
    ]
    for name, backbone, pair in zip(("V1", "V2"), (_V1, _V2), pairs, strict=True)
}

# R-ASPP and LR-ASPP: backbone, filters, image; parameters in millions and multiply-adds in
# billions. MobileNetV2 ends with its last block, MobileNetV3 with its last convolution.
_FULL, _HALF = (1025, 2049), (513, 1025)
_RF2 = dict(reduced_tail="segmentation")
_V2_R = dict(type="mixnet_dense.MobileNetV2", output_stride=16, out_taps=("c5",))
_V2_LR = _V2_R | _RF2 | dict(out_taps=("c3_depthwise", "c5"))
_V3_R = _LARGE | dict(output_stride=16, out_taps=("last",))
_V3_LR = _V3_R | _RF2 | dict(out_taps=("c3_depthwise", "last"))
_SMALL_LR = _V3_LR | _SMALL
_V3_TABLE_7 = {
    "1 V2 R 256": (_V2_R, 256, _FULL, "2.11", "21.29"),
    "2 V2 RF2 R 256": (_V2_R | _RF2, 256, _FULL, "1.15", "13.68"),
    "3 V2 RF2 LR 256": (_V2_LR, 256, _FULL, ("1.02", HALVED_V2), "12.83"),
    "4 V2 RF2 LR 128": (_V2_LR, 128, _FULL, "0.98", "12.57"),
    "5 V3 R 256": (_V3_R, 256, _FULL, "3.60", "18.43"),
    "6 V3 RF2 R 256": (_V3_R | _RF2, 256, _FULL, "1.76", "11.24"),
    "7 V3 RF2 LR 256": (_V3_LR, 256, _FULL, "1.63", "10.33"),
    "8 V3 RF2 LR 128": (_V3_LR, 128, _FULL, "1.51", "9.74"),
    "9 V2 0.5 RF2 LR 128": (_V2_LR | dict(width=0.5), 128, _FULL, "0.28", "4.00"),
    "10 V2 0.35 RF2 LR 128": (
        _V2_LR | dict(width=0.35), 128, _FULL, ("0.16", HALVED_V2), ("2.54", UNNAMED),
    ),
    "11 V3-Small RF2 LR 128": (_SMALL_LR, 128, _FULL, "0.47", ("2.90", UNNAMED)),
}  # fmt: skip
_V3_TABLE_8 = {
    f"{row} {size}": (backbone | dict(output_stride=stride), 128, shape, None, macs)
    for row, backbone, stride, *pair in [
        ("V3 OS16", _V3_LR, 16, "9.74", "2.48"),
        ("V3 OS32", _V3_LR, 32, "7.74", ("1.98", UNNAMED)),
        ("V3-Small OS16", _SMALL_LR, 16, ("2.90", UNNAMED), ("0.74", UNNAMED)),
        ("V3-Small OS32", _SMALL_LR, 32, ("2.06", UNNAMED), ("0.53", UNNAMED)),
    ]
    for size, shape, macs in zip("fh", (_FULL, _HALF), pair, strict=True)
}

_NORM = "params with batch norm"
_SEG = f"19 classes; {_NORM}; multiply-adds at 1025 x 2049 with element-wise operations"
TABLES = {
    "MobileNetV3 table 3": Table(f"{_NORM}, multiply-adds of convolutions and SE", _V3_TABLE_3),
    "MobileNetV3 table 6": Table(
        "params without batch norm; 91 class slots, V1 and V2 1.0: 81",
        _V3_TABLE_6, "mmdet", 1e9, norm=False,
    ),
    "MobileNetV3 table 7": Table(_SEG, _V3_TABLE_7, "mmseg", 1e9, elementwise=True),
    "MobileNetV3 table 8": Table(
        "as table 7; f the full image, h half of it", _V3_TABLE_8, "mmseg", 1e9, elementwise=True
    ),
    "MobileNetV3 table 9": Table(f"{_NORM}, 1280 after the pooling never scaled", _V3_TABLE_9),
    "MixConv table 1": Table(f"{_NORM}, 81 class slots", _MIXCONV_TABLE_1, "mmdet", 1e9),
    "MixConv table 2": Table(_NORM, _MIXCONV_TABLE_2),
    "MobileNetV1 tables 6, 7": Table(_NORM, _V1_TABLES),
}  # fmt: skip
