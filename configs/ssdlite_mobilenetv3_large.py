# MobileNetV3-Large SSDLite, 320 x 320, COCO from scratch. Not trained here.
# The paper's own, with another recipe: MobileNetV3 table 6: 22.0 mAP on COCO test.
#   python tools/train.py configs/ssdlite_mobilenetv3_large.py
_base_ = "./ssdlite_mixnet.py"

model = dict(
    backbone=dict(type="mixnet_dense.MobileNetV3", arch="large"),
    neck=dict(in_channels=(672, 960)),
    bbox_head=dict(in_channels=(672, 960, 512, 256, 256, 128)),
)
