"""LR-ASPP and R-ASPP segmentation over mmseg's BaseDecodeHead; importing registers them."""

from mixnet_dense.seg.heads import LRASPPHead, RASPPHead

__all__ = ["LRASPPHead", "RASPPHead"]
