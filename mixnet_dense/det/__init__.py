"""SSDLite detection over mmdet's own parts; importing this registers them."""

from mixnet_dense import compat
from mixnet_dense.det.anchors import SSDLiteAnchorGenerator
from mixnet_dense.det.coco import CocoDataset, CocoMetric
from mixnet_dense.det.coder import BoxCoder
from mixnet_dense.det.detector import SSDLite
from mixnet_dense.det.head import SSDLiteHead
from mixnet_dense.det.losses import SigmoidLoss, SoftmaxLoss
from mixnet_dense.det.neck import SameConv2d, SSDLiteNeck
from mixnet_dense.det.resize import TensorFlowResize
from mixnet_dense.det.transforms import ExpandMinIoURandomCrop

__all__ = [
    "BoxCoder",
    "CocoDataset",
    "CocoMetric",
    "ExpandMinIoURandomCrop",
    "SSDLite",
    "SameConv2d",
    "SigmoidLoss",
    "SoftmaxLoss",
    "TensorFlowResize",
    "SSDLiteAnchorGenerator",
    "SSDLiteHead",
    "SSDLiteNeck",
]

compat.guard_checkpoint_loading()
