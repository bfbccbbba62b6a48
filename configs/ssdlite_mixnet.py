# MixNet-S SSDLite: COCO at 320 x 320.
#   python tools/train.py configs/ssdlite_mixnet.py
#   on 8 GPUs: torchrun --nproc_per_node 8 tools/train.py CONFIG --launcher pytorch
# The learning rate 0.015 is for these 8 GPUs, 192 images a step; otherwise add --auto-scale-lr.
_base_ = [
    "_base_/models/ssdlite.py",
    "_base_/datasets/coco.py",
    "_base_/schedules/coco_600e.py",
    "_base_/runtime.py",
]

model = dict(backbone=dict(type="mixnet_dense.MixNet", arch="s"))
