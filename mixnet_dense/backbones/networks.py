"""The backbones of the papers: `MobileBackbone`, with all its arguments, over a family's tables."""

from mixnet_dense.backbones import tables
from mixnet_dense.backbones.backbone import MobileBackbone


class MixNet(MobileBackbone):
    """MixNet (https://arxiv.org/abs/1907.09595, figure 8); ``arch``: ``'s'``, ``'m'``, ``'l'``."""

    tables = tables.MIXNET


class MobileNetV1(MobileBackbone):
    """MobileNetV1 (https://arxiv.org/abs/1704.04861, table 1); ``arch`` is ``'v1'``.

    Widths are truncated, not rounded to 8.
    """

    tables = tables.MOBILENET_V1


class MobileNetV2(MobileBackbone):
    """MobileNetV2 (https://arxiv.org/abs/1801.04381, table 2).

    ``arch`` is ``'classification'``, where the last convolution never falls below 1280, or
    ``'detection'``, where it follows the width, as MobileNetV3 table 6 counts it.
    """

    tables = tables.MOBILENET_V2


class MobileNetV3(MobileBackbone):
    """MobileNetV3 (https://arxiv.org/abs/1905.02244, tables 1 and 2).

    ``arch`` is ``'large'`` or ``'small'``, or TensorFlow's ``'large_minimal'`` or
    ``'small_minimal'`` (3x3 kernels, ReLU, no squeeze-and-excitation).
    """

    tables = tables.MOBILENET_V3


class MnasNet(MobileBackbone):
    """MnasNet-A1 (https://arxiv.org/abs/1807.11626, figure 7).

    ``arch`` is ``'classification'``, or ``'detection'``, where the last convolution follows the
    width and the squeeze is rounded to 8, as MobileNetV3 table 6 counts it.
    """

    tables = tables.MNASNET


FAMILIES = (MixNet, MobileNetV1, MobileNetV2, MobileNetV3, MnasNet)
