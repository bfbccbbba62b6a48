# MobileNetV2 0.35 SSDLite, 320 x 320, COCO from scratch. Not trained here.
# The paper's own, with another recipe: MobileNetV3 table 6: 13.7 mAP on COCO test.
#   python tools/train.py configs/ssdlite_mobilenetv2_035.py
_base_ = "./ssdlite_mixnet.py"

model = dict(
    backbone=dict(type="mixnet_dense.MobileNetV2", arch="detection", width=0.35),
    neck=dict(in_channels=(192, 448), extra_channels=(179, 89, 89, 44)),
    bbox_head=dict(in_channels=(192, 448, 179, 89, 89, 44)),
)
