# MixNet-S SSDLite as a new-style config, whose bases and types are imported: the embedded sample.
#   mixnet-dense train reuse/ssdlite_mixnet_new_style
from mmengine.config import read_base

from mixnet_dense.backbones import MixNet
from mixnet_dense.det import CocoDataset, CocoMetric, SSDLite, SSDLiteHead

with read_base():
    from .._base_.datasets.coco import *  # noqa: F403
    from .._base_.models.ssdlite import *  # noqa: F403
    from .._base_.runtime import *  # noqa: F403
    from .._base_.schedules.coco_600e import *  # noqa: F403

data = dict(
    type=CocoDataset,
    data_root="data/sample/",
    metainfo=dict(classes=("coin", "zero", "three", "four")),
)
model.update(  # noqa: F405
    type=SSDLite,
    backbone=dict(type=MixNet, arch="s"),
    bbox_head=dict(type=SSDLiteHead, num_classes=4),
)
train_dataloader.update(batch_size=8, num_workers=1, dataset=data)  # noqa: F405
val_dataloader.update(batch_size=25, num_workers=1, dataset=data)  # noqa: F405
test_dataloader = val_dataloader  # noqa: F405
val_evaluator.update(type=CocoMetric, classwise=True)  # noqa: F405
test_evaluator = val_evaluator  # noqa: F405
train_cfg.update(max_epochs=3, val_interval=3)  # noqa: F405
