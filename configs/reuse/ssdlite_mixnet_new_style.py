# MixNet-S SSDLite as a new-style config, whose bases and types are imported: the embedded sample.
#   mixnet-dense train reuse/ssdlite_mixnet_new_style
# ruff: noqa: F403, F405
from mmengine.config import read_base
from torch.optim import AdamW

from mixnet_dense.backbones import MixNet
from mixnet_dense.det import CocoDataset, CocoMetric, SSDLite, SSDLiteHead

with read_base():
    from .._base_.datasets.coco import *
    from .._base_.models.ssdlite import *
    from .._base_.runtime import *
    from .._base_.schedules.coco_600e import *

classes = ("coin", "zero", "three", "four")
data = dict(type=CocoDataset, data_root="data/sample/", metainfo=dict(classes=classes))
model.update(type=SSDLite, backbone=dict(type=MixNet, arch="s"))
model.update(bbox_head=dict(type=SSDLiteHead, num_classes=4))
train_dataloader.update(batch_size=8, num_workers=1, dataset=data)
val_dataloader.update(batch_size=25, num_workers=1, dataset=data)
test_dataloader = val_dataloader
val_evaluator.update(type=CocoMetric, classwise=True)
test_evaluator = val_evaluator
train_cfg.update(max_epochs=3, val_interval=3)
optim_wrapper = dict(optimizer=dict(type=AdamW, lr=2e-3, weight_decay=0.05))
optim_wrapper.update(clip_grad=dict(max_norm=2))
param_scheduler = [dict(type="CosineAnnealingLR", T_max=1050, by_epoch=False)]
auto_scale_lr.update(base_batch_size=8)
