# MobileNetV3-Small with a halved last stage, LR-ASPP 128, output stride 16: Cityscapes.
# Paper: 68.38 mIoU on val (MobileNetV3 table 7, row 11), 69.4 on test (table 8).
#   python tools/train.py configs/lraspp_mobilenetv3_small.py
_base_ = [
    "_base_/models/lraspp.py",
    "_base_/datasets/cityscapes.py",
    "_base_/schedules/cityscapes_860e.py",
    "_base_/runtime.py",
]

model = dict(backbone=dict(type="mixnet_dense.MobileNetV3", arch="small"))
