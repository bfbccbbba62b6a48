"""LR-ASPP, R-ASPP, Cityscapes' dataset and metric over mmseg; importing registers them."""

from mixnet_dense import compat
from mixnet_dense.seg.cityscapes import CityscapesDataset, IoUMetric, MaskDataset
from mixnet_dense.seg.heads import LRASPPHead, RASPPHead
from mixnet_dense.seg.segmentor import MobileSegmentor

__all__ = [
    "CityscapesDataset",
    "IoUMetric",
    "LRASPPHead",
    "MaskDataset",
    "MobileSegmentor",
    "RASPPHead",
]

compat.guard_checkpoint_loading()
