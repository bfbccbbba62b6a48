"""Registries of this package: children of mmengine's, scope ``mixnet_dense``.

mmengine imports exactly ``{scope}.registry`` when a config names
``type='mixnet_dense.X'``; the modules that register X are imported on first use.
Detection is left out where mmdet is not installed and segmentation where mmseg is not,
so that neither task needs the other's host.
"""

from importlib.util import find_spec

from mmengine import registry as root

from mixnet_dense import compat

compat.guard_checkpoint_loading()
compat.register_weight_sources()

_SCOPE = "mixnet_dense"
_DETECTION = ["mixnet_dense.det"] if find_spec("mmdet") else []
_SEGMENTATION = ["mixnet_dense.seg"] if find_spec("mmseg") else []

MODELS = root.Registry(
    "model",
    parent=root.MODELS,
    scope=_SCOPE,
    locations=["mixnet_dense.backbones.networks", *_DETECTION, *_SEGMENTATION],
)
TASK_UTILS = root.Registry("task util", parent=root.TASK_UTILS, scope=_SCOPE, locations=_DETECTION)
HOOKS = root.Registry("hook", parent=root.HOOKS, scope=_SCOPE, locations=["mixnet_dense.engine"])
OPTIM_WRAPPERS = root.Registry(
    "optim wrapper",
    parent=root.OPTIM_WRAPPERS,
    scope=_SCOPE,
    locations=["mixnet_dense.engine"],
)
DATASETS = root.Registry(
    "dataset", parent=root.DATASETS, scope=_SCOPE, locations=[*_DETECTION, *_SEGMENTATION]
)
METRICS = root.Registry(
    "metric", parent=root.METRICS, scope=_SCOPE, locations=[*_DETECTION, *_SEGMENTATION]
)
TRANSFORMS = root.Registry("transform", parent=root.TRANSFORMS, scope=_SCOPE, locations=_DETECTION)
