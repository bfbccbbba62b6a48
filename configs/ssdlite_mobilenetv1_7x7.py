# MobileNetV1 with 7x7 kernels, SSDLite: COCO at 320 x 320.
# Paper: 21.8 mAP on COCO (MixConv table 1).
#   python tools/train.py configs/ssdlite_mobilenetv1_7x7.py
_base_ = [
    "_base_/models/ssdlite.py",
    "_base_/datasets/coco.py",
    "_base_/schedules/coco_600e.py",
    "_base_/runtime.py",
]

model = dict(backbone=dict(type="mixnet_dense.MobileNetV1", arch="v1", kernel_sizes=(7,)))
