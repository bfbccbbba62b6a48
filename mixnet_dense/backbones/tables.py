"""The papers' tables.

MixNet: https://arxiv.org/abs/1907.09595, figure 8; the grouped 1x1 convolutions, squeeze
ratios and activations are those of the authors' released code.
MobileNetV1: https://arxiv.org/abs/1704.04861, table 1.
MobileNetV2: https://arxiv.org/abs/1801.04381, table 2.
MobileNetV3: https://arxiv.org/abs/1905.02244, tables 1 and 2.
MnasNet-A1: https://arxiv.org/abs/1807.11626, figure 7.
"""

from collections.abc import Iterable
from dataclasses import replace

from mixnet_dense.backbones.arch import Block, Network, round8, scale, with_act


def _blocks(stem: int, columns: str, rows: Iterable[tuple], **same) -> tuple[Block, ...]:
    """Blocks from a table's rows; each reads what the row before gives, the first the stem.

    Columns are fields of `Block`, or ``ratio``, the expansion over the input (default 1), or
    ``repeats``, of which the first alone has the stride. ``same`` holds for all rows.
    """
    blocks, channels = [], stem
    for values in rows:
        row = dict(zip(columns.split(), values, strict=True)) | same
        ratio = row.pop("ratio", 1)
        for _ in range(row.pop("repeats", 1)):
            blocks.append(Block(**dict(in_channels=channels, expansion=channels * ratio) | row))
            channels, row["stride"] = row["out_channels"], 1
    return tuple(blocks)


# --------------------------------------------------------------------- MixNet

_R, _S = "ReLU", "SiLU"  # the paper's swish is torch's SiLU

# Squeeze ratios are of the block input.
_MIXNET = "repeats kernels expand_groups project_groups stride ratio out_channels squeeze act"
_MIXNET_S = [
    # 112 x 112 for a 224 x 224 image
    (1, (3,), 1, 1, 1, 1, 16, 0.0, _R),
    # 56 x 56
    (1, (3,), 2, 2, 2, 6, 24, 0.0, _R),
    (1, (3,), 2, 2, 1, 3, 24, 0.0, _R),
    # 28 x 28
    (1, (3, 5, 7), 1, 1, 2, 6, 40, 0.5, _S),
    (3, (3, 5), 2, 2, 1, 6, 40, 0.5, _S),
    # 14 x 14
    (1, (3, 5, 7), 1, 2, 2, 6, 80, 0.25, _S),
    (2, (3, 5), 1, 2, 1, 6, 80, 0.25, _S),
    (1, (3, 5, 7), 2, 2, 1, 6, 120, 0.5, _S),
    (2, (3, 5, 7, 9), 2, 2, 1, 3, 120, 0.5, _S),
    # 7 x 7
    (1, (3, 5, 7, 9, 11), 1, 1, 2, 6, 200, 0.5, _S),
    (2, (3, 5, 7, 9), 1, 2, 1, 6, 200, 0.5, _S),
]
_MIXNET_M = [
    # 112 x 112 for a 224 x 224 image
    (1, (3,), 1, 1, 1, 1, 24, 0.0, _R),
    # 56 x 56
    (1, (3, 5, 7), 2, 2, 2, 6, 32, 0.0, _R),
    (1, (3,), 2, 2, 1, 3, 32, 0.0, _R),
    # 28 x 28
    (1, (3, 5, 7, 9), 1, 1, 2, 6, 40, 0.5, _S),
    (3, (3, 5), 2, 2, 1, 6, 40, 0.5, _S),
    # 14 x 14
    (1, (3, 5, 7), 1, 1, 2, 6, 80, 0.25, _S),
    (3, (3, 5, 7, 9), 2, 2, 1, 6, 80, 0.25, _S),
    (1, (3,), 1, 1, 1, 6, 120, 0.5, _S),
    (3, (3, 5, 7, 9), 2, 2, 1, 3, 120, 0.5, _S),
    # 7 x 7
    (1, (3, 5, 7, 9), 1, 1, 2, 6, 200, 0.5, _S),
    (3, (3, 5, 7, 9), 1, 2, 1, 6, 200, 0.5, _S),
]
_s = Network(name="MixNet-S", stem=16, blocks=_blocks(16, _MIXNET, _MIXNET_S), last=1536)
_m = replace(_s, name="MixNet-M", stem=24, blocks=_blocks(24, _MIXNET, _MIXNET_M), dropout=0.25)
MIXNET = {"s": _s, "m": _m, "l": replace(scale(_m, 1.3), name="MixNet-L")}

# --------------------------------------------------------------- MobileNetV1

_V1 = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5]
_V1 += [(1024, 2), (1024, 1)]
_V1_ACTS = dict(act="ReLU6", project_act="ReLU6")


def _truncate8(value: float) -> int:
    return max(8, int(value))


MOBILENET_V1 = {
    "v1": Network(
        name="MobileNetV1",
        stem=32,
        blocks=_blocks(32, "out_channels stride", _V1, **_V1_ACTS),
        last=0,
        stem_act="ReLU6",
        round_channels=_truncate8,
    )
}

# --------------------------------------------------------------- MobileNetV2

_V2 = [
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
]
_v2 = Network(
    name="MobileNetV2",
    stem=32,
    blocks=_blocks(32, "ratio out_channels repeats stride", _V2, act="ReLU6"),
    last=1280,
    stem_act="ReLU6",
    last_act="ReLU6",
    scale_last="up",
)
MOBILENET_V2 = {"classification": _v2, "detection": replace(_v2, scale_last="always")}

# --------------------------------------------------------------- MobileNetV3

_RE, _HS = "ReLU", "HSwish"
_SE = 0.25  # of the expansion

_V3 = "kernels expansion out_channels squeeze act stride"  # as printed
_V3_LARGE = [
    # 112 x 112 for a 224 x 224 image
    ((3,), 16, 16, 0, _RE, 1),
    # 56 x 56
    ((3,), 64, 24, 0, _RE, 2),
    ((3,), 72, 24, 0, _RE, 1),
    # 28 x 28
    ((5,), 72, 40, _SE, _RE, 2),
    ((5,), 120, 40, _SE, _RE, 1),
    ((5,), 120, 40, _SE, _RE, 1),
    # 14 x 14
    ((3,), 240, 80, 0, _HS, 2),
    ((3,), 200, 80, 0, _HS, 1),
    ((3,), 184, 80, 0, _HS, 1),
    ((3,), 184, 80, 0, _HS, 1),
    ((3,), 480, 112, _SE, _HS, 1),
    ((3,), 672, 112, _SE, _HS, 1),
    # 7 x 7; the expansion of the first is C4
    ((5,), 672, 160, _SE, _HS, 2),
    ((5,), 960, 160, _SE, _HS, 1),
    ((5,), 960, 160, _SE, _HS, 1),
]
_V3_SMALL = [
    # 56 x 56 for a 224 x 224 image
    ((3,), 16, 16, _SE, _RE, 2),
    # 28 x 28
    ((3,), 72, 24, 0, _RE, 2),
    ((3,), 88, 24, 0, _RE, 1),
    # 14 x 14
    ((5,), 96, 40, _SE, _HS, 2),
    ((5,), 240, 40, _SE, _HS, 1),
    ((5,), 240, 40, _SE, _HS, 1),
    ((5,), 120, 48, _SE, _HS, 1),
    ((5,), 144, 48, _SE, _HS, 1),
    # 7 x 7; the expansion of the first is C4
    ((5,), 288, 96, _SE, _HS, 2),
    ((5,), 576, 96, _SE, _HS, 1),
    ((5,), 576, 96, _SE, _HS, 1),
]
_large = Network(
    name="MobileNetV3-Large",
    stem=16,
    blocks=_blocks(16, _V3, _V3_LARGE),
    last=960,
    stem_act=_HS,
    last_act=_HS,
    squeeze_of="expansion",
    squeeze_act=_RE,
    gate="HSigmoid",
    round_squeeze=round8,
    scale_last="always",
    segmentation_halves_c4=True,
    hidden=1280,
)
_small = replace(_large, name="MobileNetV3-Small", blocks=_blocks(16, _V3, _V3_SMALL), last=576)


def _minimal(network: Network) -> Network:
    """The "minimalistic" variant that TensorFlow's authors released, not in the paper.

    3x3 kernels, ReLU throughout, no squeeze-and-excitation:
    https://github.com/tensorflow/models/tree/master/research/slim/nets/mobilenet
    """
    blocks = tuple(replace(block, kernels=(3,), squeeze=0.0) for block in network.blocks)
    return with_act(replace(network, name=f"{network.name} minimal", blocks=blocks), _RE)


MOBILENET_V3 = {
    "large": _large,
    "small": _small,
    "large_minimal": _minimal(_large),
    "small_minimal": _minimal(_small),
}

# ---------------------------------------------------------------- MnasNet-A1

# Squeeze ratios are of the block input.
_A1 = [
    (1, (3,), 1, 1, 16, 0),
    (2, (3,), 2, 6, 24, 0),
    (3, (5,), 2, 3, 40, 0.25),
    (4, (3,), 2, 6, 80, 0),
    (2, (3,), 1, 6, 112, 0.25),
    (3, (5,), 2, 6, 160, 0.25),
    (1, (3,), 1, 6, 320, 0),
]
_a1 = Network(
    name="MnasNet-A1",
    stem=32,
    blocks=_blocks(32, "repeats kernels stride ratio out_channels squeeze", _A1),
    last=1280,
)
MNASNET = {
    "classification": _a1,
    "detection": replace(_a1, scale_last="always", round_squeeze=round8),
}
