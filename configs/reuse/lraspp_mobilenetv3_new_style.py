# MobileNetV3-Small LR-ASPP as a new-style config, whose bases and types are imported: the sample.
#   mixnet-dense train reuse/lraspp_mobilenetv3_new_style
# ruff: noqa: F403, F405
from mmengine.config import read_base
from torch.optim import AdamW

from mixnet_dense.backbones import MobileNetV3
from mixnet_dense.seg import CityscapesDataset, LRASPPHead, MobileSegmentor

with read_base():
    from .._base_.datasets.cityscapes import *
    from .._base_.models.lraspp import *
    from .._base_.runtime import *
    from .._base_.schedules.cityscapes_860e import *

classes = ("background", "coin", "zero", "three", "four")
data = dict(type=CityscapesDataset, data_root="data/sample/", metainfo=dict(classes=classes))
train_pipeline[2].update(scale=(256, 256), ratio_range=(0.8, 1.25))
train_pipeline[3].update(crop_size=(224, 224))
model.update(type=MobileSegmentor, backbone=dict(type=MobileNetV3, arch="small"))
model.update(data_preprocessor=dict(size=(224, 224)))
model.update(decode_head=dict(type=LRASPPHead, num_classes=5))
train_dataloader.update(batch_size=16, num_workers=1, dataset=dict(data, pipeline=train_pipeline))
val_dataloader.update(num_workers=1, dataset=data)
test_dataloader = val_dataloader
train_cfg.update(max_epochs=3, val_interval=3)
optim_wrapper = dict(optimizer=dict(type=AdamW, lr=4e-3, weight_decay=0.05))
param_scheduler = [dict(type="PolyLR", power=0.9, end=3, convert_to_iter_based=True)]
auto_scale_lr.update(base_batch_size=16)
