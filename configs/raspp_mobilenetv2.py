# MobileNetV2, R-ASPP 256, output stride 16: Cityscapes.
# Paper: 72.84 mIoU on val (MobileNetV3 table 7, row 1).
#   python tools/train.py configs/raspp_mobilenetv2.py
_base_ = [
    "_base_/models/raspp.py",
    "_base_/datasets/cityscapes.py",
    "_base_/schedules/cityscapes_860e.py",
    "_base_/runtime.py",
]

model = dict(
    backbone=dict(type="mixnet_dense.MobileNetV2", arch="classification", out_taps=("c5",))
)
