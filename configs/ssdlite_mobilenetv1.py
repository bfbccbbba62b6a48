# MobileNetV1 SSDLite: COCO at 320 x 320.
# Paper: 22.2 mAP on COCO test (MobileNetV3 table 6).
#   python tools/train.py configs/ssdlite_mobilenetv1.py
_base_ = [
    "_base_/models/ssdlite.py",
    "_base_/datasets/coco.py",
    "_base_/schedules/coco_600e.py",
    "_base_/runtime.py",
]

model = dict(backbone=dict(type="mixnet_dense.MobileNetV1", arch="v1"))
