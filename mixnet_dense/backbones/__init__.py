"""The backbones of the papers; importing this registers them."""

from mixnet_dense.backbones.backbone import MixNet, MobileBackbone, Tap
from mixnet_dense.backbones.classifier import build_classifier
from mixnet_dense.backbones.mixconv import MixConv2d

__all__ = ["MixConv2d", "MixNet", "MobileBackbone", "Tap", "build_classifier"]
