# MobileNetV3-Large with a halved last stage, LR-ASPP 128, output stride 32: Cityscapes.
# Paper: 72.0 mIoU on test (MobileNetV3 table 8).
#   python tools/train.py configs/lraspp_mobilenetv3_large_os32.py
_base_ = [
    "_base_/models/lraspp.py",
    "_base_/datasets/cityscapes.py",
    "_base_/schedules/cityscapes_860e.py",
    "_base_/runtime.py",
]

model = dict(backbone=dict(type="mixnet_dense.MobileNetV3", arch="large", output_stride=32))
