# MobileNetV2 SSDLite, 320 x 320, COCO from scratch. Not trained here.
# The paper's own, with another recipe: MobileNetV3 table 6: 22.1 mAP on COCO test.
#   python tools/train.py configs/ssdlite_mobilenetv2.py
_base_ = "./ssdlite_mixnet.py"

model = dict(
    backbone=dict(type="mixnet_dense.MobileNetV2", arch="detection"),
    neck=dict(in_channels=(576, 1280)),
    bbox_head=dict(in_channels=(576, 1280, 512, 256, 256, 128)),
)
