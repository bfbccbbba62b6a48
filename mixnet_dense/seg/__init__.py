"""LR-ASPP, R-ASPP, datasets and a metric over mmseg; importing registers them."""

from mixnet_dense import compat
from mixnet_dense.seg.cityscapes import CityscapesDataset, IoUMetric, MaskDataset
from mixnet_dense.seg.heads import LRASPPHead, RASPPHead
from mixnet_dense.seg.segmentor import MobileSegmentor
from mixnet_dense.seg.voc import PascalVOCDataset

__all__ = [
    "CityscapesDataset",
    "IoUMetric",
    "LRASPPHead",
    "MaskDataset",
    "MobileSegmentor",
    "PascalVOCDataset",
    "RASPPHead",
]

compat.guard_checkpoint_loading()
