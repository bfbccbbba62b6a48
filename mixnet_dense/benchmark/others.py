"""The same networks in other libraries, as subjects of a benchmark.

timm for the backbones; mmdet and torchvision for the SSDLite detectors of the configs that copy
theirs. Their weights are random.
"""

import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace

from mmengine.hub import get_config
from mmengine.registry import init_default_scope
from torch import Tensor, nn

from mixnet_dense.benchmark.subjects import annotations
from mixnet_dense.errors import first_line
from mixnet_dense.registry import MODELS

_SLOTS = 90  # classes of torchvision's detector


class _Called(nn.Module):
    """A model whose outputs are what ``outputs(model, images)`` gives."""

    def __init__(self, model: nn.Module, outputs: Callable):
        super().__init__()
        self.model, self._outputs = model, outputs

    def forward(self, images: Tensor):
        return self._outputs(self.model, images)


def _timm(name: str) -> nn.Module:
    import timm

    return _Called(timm.create_model(name), lambda model, images: [model.forward_features(images)])


def _mmdet(path: str) -> nn.Module:
    init_default_scope("mmdet")
    return MODELS.build(get_config(f"mmdet::{path}").model)


def _torchvision(name: str) -> nn.Module:
    from torchvision.models import detection

    return _Called(getattr(detection, name)(weights=None, weights_backbone=None), _detect)


def _detect(model: nn.Module, images: Tensor) -> list[Tensor]:
    """torchvision's raw maps; in training mode its losses."""
    if not model.training:
        return list(model.head(list(model.backbone(images).values())).values())
    samples = annotations(SimpleNamespace(bbox_head=SimpleNamespace(num_classes=_SLOTS)), images)
    truth = [sample.gt_instances for sample in samples]
    targets = [dict(boxes=found.bboxes, labels=found.labels + 1) for found in truth]
    return list(model(list(images), targets).values())


_MMDET = partial(_mmdet, "ssd/ssdlite_mobilenetv2-scratch_8xb24-600e_coco.py")
_TORCHVISION = partial(_torchvision, "ssdlite320_mobilenet_v3_large")
_OTHERS = {
    "mixnet_s": ("timm", partial(_timm, "mixnet_s")),
    "mixnet_m": ("timm", partial(_timm, "mixnet_m")),
    "mixnet_l": ("timm", partial(_timm, "mixnet_l")),
    "mobilenetv1": ("timm", partial(_timm, "mobilenetv1_100")),
    "mobilenetv2": ("timm", partial(_timm, "mobilenetv2_100")),
    "mobilenetv3_large": ("timm", partial(_timm, "mobilenetv3_large_100")),
    "mobilenetv3_small": ("timm", partial(_timm, "mobilenetv3_small_100")),
    "mnasnet_a1": ("timm", partial(_timm, "semnasnet_100")),
    "ssdlite_mobilenetv2_mmdet": ("mmdet", _MMDET),
    "ssdlite_mobilenetv3_large_torchvision": ("torchvision", _TORCHVISION),
}


def others(name: str) -> Iterator[tuple[str, nn.Module]]:
    """The twin of a backbone, by its name, or of a config, with its library.

    Nothing where there is none, or where its library cannot be imported, which is printed.
    """
    library, build = _OTHERS.get(Path(name).stem, (None, None))
    if library is None:
        print(f"--compare: no other library has {name}", file=sys.stderr)
        return
    try:
        yield library, build()
    except (ImportError, RuntimeError, FileNotFoundError) as error:  # or of another torch
        print(f"--compare: {library} left out: {first_line(error)}", file=sys.stderr)
