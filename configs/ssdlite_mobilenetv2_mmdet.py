# mmdet's ssdlite_mobilenetv2-scratch: C4 is the last stride-16 block's output, 6 anchors on every
# map, its own scales. Takes mmdet's weights through tools/convert_weights.py. Not trained here.
#   python tools/train.py configs/ssdlite_mobilenetv2_mmdet.py
# mmdet steps its 3 x 3 map by 107 pixels, ours by a third of 320: centres differ by up to 0.9.
_base_ = "./ssdlite_mixnet.py"

anchors = dict(
    type="mixnet_dense.SSDLiteAnchorGenerator",
    first_level=6,
    scales=[size / 320 for size in (48, 100, 150, 202, 253, 304, 320)],
)
model = dict(
    backbone=dict(type="mixnet_dense.MobileNetV2", arch="classification", out_taps=("c4", "last")),
    neck=dict(in_channels=(96, 1280)),
    bbox_head=dict(in_channels=(96, 1280, 512, 256, 256, 128), anchor_generator=anchors),
)
