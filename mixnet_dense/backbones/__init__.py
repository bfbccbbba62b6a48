"""The backbones of the papers; importing this registers them."""

from mixnet_dense.backbones.backbone import MobileBackbone, Tap
from mixnet_dense.backbones.classifier import build_classifier
from mixnet_dense.backbones.mixconv import MixConv2d
from mixnet_dense.backbones.networks import MixNet, MnasNet, MobileNetV1, MobileNetV2, MobileNetV3

__all__ = [
    "MixConv2d",
    "MixNet",
    "MnasNet",
    "MobileBackbone",
    "MobileNetV1",
    "MobileNetV2",
    "MobileNetV3",
    "Tap",
    "build_classifier",
]
