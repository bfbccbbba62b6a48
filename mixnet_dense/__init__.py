"""Mobile backbones, SSDLite and LR-ASPP of the papers for OpenMMLab.

``import mixnet_dense`` needs neither mmdet nor mmseg, and ``mixnet_dense.backbones`` needs
torch alone. With ``custom_imports=dict(imports=['mixnet_dense'])`` any mm config can name
``type='mixnet_dense.MixNet'``; see `mixnet_dense.registry`.
"""

from mixnet_dense import compat

__version__ = "0.1.0"

compat.offer_mmcv_ops()
