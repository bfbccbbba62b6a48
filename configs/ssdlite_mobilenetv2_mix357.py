# MobileNetV2 with MixConv 3, 5, 7, SSDLite: COCO at 320 x 320.
# Paper: 22.3 mAP on COCO (MixConv table 1).
#   python tools/train.py configs/ssdlite_mobilenetv2_mix357.py
_base_ = [
    "_base_/models/ssdlite.py",
    "_base_/datasets/coco.py",
    "_base_/schedules/coco_600e.py",
    "_base_/runtime.py",
]

model = dict(
    backbone=dict(type="mixnet_dense.MobileNetV2", arch="detection", kernel_sizes=(3, 5, 7))
)
