"""SSDLite detection over mmdet's own parts; importing this registers them."""

from mixnet_dense.det.anchors import SSDLiteAnchorGenerator
from mixnet_dense.det.dataset import CocoDataset
from mixnet_dense.det.head import SSDLiteHead
from mixnet_dense.det.neck import SSDLiteNeck

__all__ = ["CocoDataset", "SSDLiteAnchorGenerator", "SSDLiteHead", "SSDLiteNeck"]
