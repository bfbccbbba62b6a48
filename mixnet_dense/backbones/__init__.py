"""The backbones of the papers."""

from mixnet_dense.backbones.algorithms import set_algorithm
from mixnet_dense.backbones.backbone import MobileBackbone
from mixnet_dense.backbones.classifier import build_classifier
from mixnet_dense.backbones.mixconv import MixConv2d
from mixnet_dense.backbones.networks import MixNet, MnasNet, MobileNetV1, MobileNetV2, MobileNetV3
from mixnet_dense.backbones.taps import Tap

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
    "set_algorithm",
]
