"""The backbones under their names in mm's registry; the classes themselves need torch alone."""

from mixnet_dense.backbones import networks
from mixnet_dense.backbones.blocks import BatchNorm2d
from mixnet_dense.registry import MODELS

for _kind in (*networks.FAMILIES, BatchNorm2d):
    MODELS.register_module(module=_kind)
