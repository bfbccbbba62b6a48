# MnasNet-A1 0.5 SSDLite: COCO at 320 x 320.
# Paper: 18.5 mAP on COCO test (MobileNetV3 table 6).
#   python tools/train.py configs/ssdlite_mnasnet_050.py
_base_ = [
    "_base_/models/ssdlite.py",
    "_base_/datasets/coco.py",
    "_base_/schedules/coco_600e.py",
    "_base_/runtime.py",
]

model = dict(backbone=dict(type="mixnet_dense.MnasNet", arch="detection", width=0.5))
