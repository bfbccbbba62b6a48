# MobileNetV2 with 5x5 kernels, SSDLite: COCO at 320 x 320.
# Paper: 22.1 mAP on COCO (MixConv table 1).
#   python tools/train.py configs/ssdlite_mobilenetv2_5x5.py
_base_ = [
    "_base_/models/ssdlite.py",
    "_base_/datasets/coco.py",
    "_base_/schedules/coco_600e.py",
    "_base_/runtime.py",
]

model = dict(backbone=dict(type="mixnet_dense.MobileNetV2", arch="detection", kernel_sizes=(5,)))
