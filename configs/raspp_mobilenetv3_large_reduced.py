# MobileNetV3-Large with a halved last stage, R-ASPP 256, output stride 16: Cityscapes.
# Paper: 71.91 mIoU on val (MobileNetV3 table 7, row 6).
#   python tools/train.py configs/raspp_mobilenetv3_large_reduced.py
_base_ = [
    "_base_/models/raspp.py",
    "_base_/datasets/cityscapes.py",
    "_base_/schedules/cityscapes_860e.py",
    "_base_/runtime.py",
]

model = dict(
    backbone=dict(type="mixnet_dense.MobileNetV3", arch="large", reduced_tail="segmentation")
)
