# MobileNetV3-Small LR-ASPP as a new-style config, whose bases and types are imported: the
# embedded sample.
#   mixnet-dense train reuse/lraspp_mobilenetv3_new_style
from mmengine.config import read_base

from mixnet_dense.backbones import MobileNetV3
from mixnet_dense.seg import CityscapesDataset, LRASPPHead, MobileSegmentor

with read_base():
    from .._base_.datasets.cityscapes import *  # noqa: F403
    from .._base_.models.lraspp import *  # noqa: F403
    from .._base_.runtime import *  # noqa: F403
    from .._base_.schedules.cityscapes_860e import *  # noqa: F403
classes = ("background", "coin", "zero", "three", "four")
data = dict(type=CityscapesDataset, data_root="data/sample/", metainfo=dict(classes=classes))
train_pipeline[2].update(scale=(256, 256), ratio_range=(0.8, 1.25))  # noqa: F405
train_pipeline[3].update(crop_size=(224, 224))  # noqa: F405
model.update(  # noqa: F405
    type=MobileSegmentor,
    data_preprocessor=dict(size=(224, 224)),
    backbone=dict(type=MobileNetV3, arch="small"),
    decode_head=dict(type=LRASPPHead, num_classes=5),
)
train = dict(data, pipeline=train_pipeline)  # noqa: F405
train_dataloader.update(batch_size=16, num_workers=1, dataset=train)  # noqa: F405
val_dataloader.update(num_workers=1, dataset=data)  # noqa: F405
test_dataloader = val_dataloader  # noqa: F405
train_cfg.update(max_epochs=3, val_interval=3)  # noqa: F405
