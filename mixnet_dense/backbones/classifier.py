"""The papers' ImageNet classification networks, for pretraining and cost tables."""

from torch import Tensor, nn

from mixnet_dense.backbones import networks
from mixnet_dense.backbones.arch import check
from mixnet_dense.backbones.backbone import MobileBackbone
from mixnet_dense.backbones.blocks import build_act

_BACKBONES = {
    "mixnet_s": (networks.MixNet, "s"),
    "mixnet_m": (networks.MixNet, "m"),
    "mixnet_l": (networks.MixNet, "l"),
    "mobilenetv1": (networks.MobileNetV1, "v1"),
    "mobilenetv2": (networks.MobileNetV2, "classification"),
    "mobilenetv3_large": (networks.MobileNetV3, "large"),
    "mobilenetv3_small": (networks.MobileNetV3, "small"),
    "mnasnet_a1": (networks.MnasNet, "classification"),
}
NAMES = tuple(_BACKBONES)


class Classifier(nn.Module):
    """Backbone, pooling and classifier: (N, 3, H, W) -> (N, num_classes).

    MobileNetV3 has one more 1x1 convolution after the pooling, with bias and hard-swish.
    """

    def __init__(self, backbone: MobileBackbone, num_classes: int):
        super().__init__()
        network, channels = backbone.network, backbone.taps["last"].channels
        self.backbone = backbone
        self.hidden = None
        if network.hidden:
            conv = nn.Conv2d(channels, network.hidden, 1)
            self.hidden = nn.Sequential(conv, build_act(network.hidden_act))
            channels = network.hidden
        self.dropout = nn.Dropout(network.dropout)
        self.classifier = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        features = self.backbone(x)[0]
        if self.hidden is not None:
            features = self.hidden(features.mean((2, 3), keepdim=True))
        return self.classifier(self.dropout(features.mean((2, 3))))


def build_classifier(
    name: str, width: float = 1.0, num_classes: int = 1000, **options
) -> Classifier:
    """The classification network of the paper, with the ``options`` of `MobileBackbone`.

    ``width`` leaves MobileNetV3's 1280 channels after the pooling.

    Raises:
        ValueError: a name that is not one of `NAMES`.
    """
    check("name", name, NAMES)
    kind, arch = _BACKBONES[name]
    return Classifier(kind(arch, width=width, out_taps=("last",), **options), num_classes)
