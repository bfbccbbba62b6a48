"""The papers' ImageNet classification networks, for pretraining and cost tables."""

import torch
from torch import Tensor, nn

from mixnet_dense.backbones.backbone import MixNet

_BACKBONES = {
    "mixnet_s": (MixNet, {"arch": "s"}),
    "mixnet_m": (MixNet, {"arch": "m"}),
    "mixnet_l": (MixNet, {"arch": "l"}),
}


class Classifier(nn.Module):
    """Backbone, global average pool, dropout, linear: (N, 3, H, W) -> (N, num_classes)."""

    def __init__(self, backbone: nn.Module, num_classes: int):
        super().__init__()
        self.backbone = backbone
        self.dropout = nn.Dropout(backbone.network.dropout)
        self.classifier = nn.Linear(backbone.taps["last"].channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        features = self.backbone(x)[0]
        return self.classifier(self.dropout(torch.mean(features, (2, 3))))


def build_classifier(name: str, num_classes: int = 1000, **options) -> Classifier:
    """The classification network of the paper.

    Args:
        name: ``'mixnet_s'``, ``'mixnet_m'`` or ``'mixnet_l'``.
        num_classes: outputs of the last layer.
        **options: of the backbone, such as ``width=0.75``, see `MobileBackbone`.

    Raises:
        ValueError: an unknown name; the message lists the known ones.
    """
    if name not in _BACKBONES:
        raise ValueError(f"name={name!r}: must be one of {', '.join(_BACKBONES)}")
    kind, arguments = _BACKBONES[name]
    return Classifier(kind(**arguments, out_taps=("last",), **options), num_classes)
