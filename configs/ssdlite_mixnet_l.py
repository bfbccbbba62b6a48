# MixNet-L SSDLite: COCO at 320 x 320.
#   python tools/train.py configs/ssdlite_mixnet_l.py
_base_ = [
    "_base_/models/ssdlite.py",
    "_base_/datasets/coco.py",
    "_base_/schedules/coco_600e.py",
    "_base_/runtime.py",
]

model = dict(backbone=dict(type="mixnet_dense.MixNet", arch="l"))
