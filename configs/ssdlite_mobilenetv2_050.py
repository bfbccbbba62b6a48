# MobileNetV2 0.5 SSDLite, 320 x 320, COCO from scratch. Not trained here.
# The paper's own, with another recipe: MobileNetV3 table 6: 16.6 mAP on COCO test.
#   python tools/train.py configs/ssdlite_mobilenetv2_050.py
_base_ = "./ssdlite_mixnet.py"

model = dict(
    backbone=dict(type="mixnet_dense.MobileNetV2", arch="detection", width=0.5),
    neck=dict(in_channels=(288, 640), extra_channels=(256, 128, 128, 64)),
    bbox_head=dict(in_channels=(288, 640, 256, 128, 128, 64)),
)
