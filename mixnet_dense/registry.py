"""Registries of this package: children of mmengine's, scope ``mixnet_dense``.

mmengine imports exactly ``{scope}.registry`` when a config names
``type='mixnet_dense.X'``, and then the modules below, which register X. Detection is left
out where mmdet is not installed and segmentation where mmseg is not, so that neither task
needs the other's host.
"""

from importlib.util import find_spec

from mmengine import registry as root
from mmengine.config.utils import MODULE2PACKAGE

_SCOPE = "mixnet_dense"
MODULE2PACKAGE[_SCOPE] = _SCOPE  # mmengine then finds the configs of `shipped` as mixnet_dense::…
_DETECTION = ["mixnet_dense.det"] if find_spec("mmdet") else []
_SEGMENTATION = ["mixnet_dense.seg"] if find_spec("mmseg") else []
_ENGINE = ["mixnet_dense.engine"]


def _child(name: str, parent: root.Registry, locations: list[str]) -> root.Registry:
    return root.Registry(name, parent=parent, scope=_SCOPE, locations=locations)


MODELS = _child(
    "model",
    root.MODELS,
    [
        "mixnet_dense.backbones.registration",
        "mixnet_dense.weights.registration",
        *_DETECTION,
        *_SEGMENTATION,
    ],
)
TASK_UTILS = _child("task util", root.TASK_UTILS, _DETECTION)
HOOKS = _child("hook", root.HOOKS, _ENGINE)
OPTIM_WRAPPERS = _child("optim wrapper", root.OPTIM_WRAPPERS, _ENGINE)
DATASETS = _child("dataset", root.DATASETS, [*_DETECTION, *_SEGMENTATION])
METRICS = _child("metric", root.METRICS, [*_DETECTION, *_SEGMENTATION])
TRANSFORMS = _child("transform", root.TRANSFORMS, _DETECTION)
DATA_SAMPLERS = _child("data sampler", root.DATA_SAMPLERS, ["mixnet_dense.shards"])
