# mmdet's ssdlite_mobilenetv2-scratch: COCO at 320 x 320.
# C4 is the output of the last stride-16 block, every map has 6 anchors, with mmdet's scales.
# tools/convert_weights.py converts mmdet's weights for it. On the 3 x 3 map mmdet's anchors are
# 107 pixels apart, here 320 / 3 pixels: their centres differ by up to 0.9 pixels.
#   python tools/train.py configs/ssdlite_mobilenetv2_mmdet.py
_base_ = [
    "_base_/models/ssdlite.py",
    "_base_/datasets/coco.py",
    "_base_/schedules/coco_600e.py",
    "_base_/runtime.py",
]

anchors = dict(
    type="mixnet_dense.SSDLiteAnchorGenerator",
    first_level=6,
    scales=[size / 320 for size in (48, 100, 150, 202, 253, 304, 320)],
)
model = dict(
    backbone=dict(type="mixnet_dense.MobileNetV2", arch="classification", out_taps=("c4", "last")),
    bbox_head=dict(anchor_generator=anchors),
)
