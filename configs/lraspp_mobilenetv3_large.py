# MobileNetV3-Large with a halved last stage, LR-ASPP 128, output stride 16: Cityscapes.
# Paper: 72.36 mIoU on val (MobileNetV3 table 7, row 8), 72.6 on test (table 8).
#   python tools/prepare_data.py cityscapes
#   python tools/train.py configs/lraspp_mobilenetv3_large.py
#   on 2 GPUs: torchrun --nproc_per_node 2 tools/train.py CONFIG --launcher pytorch
# The learning rate 0.01 is for these 2 GPUs, 16 crops a step; otherwise add --auto-scale-lr.
#   python tools/test.py configs/lraspp_mobilenetv3_large.py work_dirs/lraspp_mobilenetv3_large
# From an ImageNet checkpoint, as far as its layers fit (the last stage here is halved):
#   --cfg-options model.backbone.init_cfg="{'type':'Pretrained','checkpoint':'FILE'}"
_base_ = [
    "_base_/models/lraspp.py",
    "_base_/datasets/cityscapes.py",
    "_base_/schedules/cityscapes_860e.py",
    "_base_/runtime.py",
]

model = dict(backbone=dict(type="mixnet_dense.MobileNetV3", arch="large"))
