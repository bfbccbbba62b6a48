# MnasNet-A1 0.35 SSDLite: COCO at 320 x 320.
# Paper: 15.6 mAP on COCO test (MobileNetV3 table 6).
#   python tools/train.py configs/ssdlite_mnasnet_035.py
_base_ = [
    "_base_/models/ssdlite.py",
    "_base_/datasets/coco.py",
    "_base_/schedules/coco_600e.py",
    "_base_/runtime.py",
]

model = dict(backbone=dict(type="mixnet_dense.MnasNet", arch="detection", width=0.35))
