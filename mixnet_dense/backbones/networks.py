"""The registered backbones: a table each, and the arguments of `MobileBackbone`."""

from mixnet_dense.backbones import tables
from mixnet_dense.backbones.backbone import MobileBackbone, check
from mixnet_dense.registry import MODELS


class _Family(MobileBackbone):
    """Looks ``arch`` up among the tables of a family."""

    tables: dict

    def __init__(self, arch: str, **options):
        check("arch", arch, tuple(self.tables))
        super().__init__(self.tables[arch], **options)


@MODELS.register_module()
class MixNet(_Family):
    """MixNet (https://arxiv.org/abs/1907.09595, figure 8).

    Args:
        arch: ``'s'``, ``'m'`` or ``'l'``.
        **options: see `MobileBackbone`.
    """

    tables = tables.MIXNET

    def __init__(self, arch: str = "s", **options):
        super().__init__(arch, **options)


@MODELS.register_module()
class MobileNetV1(_Family):
    """MobileNetV1 (https://arxiv.org/abs/1704.04861, table 1).

    Args:
        arch: ``'v1'``.
        **options: see `MobileBackbone`. Widths are truncated, not rounded to 8.
    """

    tables = tables.MOBILENET_V1

    def __init__(self, arch: str = "v1", **options):
        super().__init__(arch, **options)


@MODELS.register_module()
class MobileNetV2(_Family):
    """MobileNetV2 (https://arxiv.org/abs/1801.04381, table 2).

    Args:
        arch: ``'classification'``, where the last convolution never falls below 1280, or
            ``'detection'``, where it follows the width (MobileNetV3 table 6).
        **options: see `MobileBackbone`.
    """

    tables = tables.MOBILENET_V2

    def __init__(self, arch: str = "classification", **options):
        super().__init__(arch, **options)


@MODELS.register_module()
class MobileNetV3(_Family):
    """MobileNetV3 (https://arxiv.org/abs/1905.02244, tables 1 and 2).

    Args:
        arch: ``'large'`` or ``'small'``, or TensorFlow's ``'large_minimal'`` or
            ``'small_minimal'`` (3x3 kernels, ReLU, no squeeze-and-excitation).
        **options: see `MobileBackbone`.
    """

    tables = tables.MOBILENET_V3

    def __init__(self, arch: str = "large", **options):
        super().__init__(arch, **options)


@MODELS.register_module()
class MnasNet(_Family):
    """MnasNet-A1 (https://arxiv.org/abs/1807.11626, figure 7).

    Args:
        arch: ``'classification'``, or ``'detection'``, where the last convolution follows
            the width and the squeeze is rounded to 8 (MobileNetV3 table 6).
        **options: see `MobileBackbone`.
    """

    tables = tables.MNASNET

    def __init__(self, arch: str = "classification", **options):
        super().__init__(arch, **options)
