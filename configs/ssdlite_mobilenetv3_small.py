# MobileNetV3-Small SSDLite, 320 x 320, COCO from scratch. Not trained here.
# The paper's own, with another recipe: MobileNetV3 table 6: 16.0 mAP on COCO test.
#   python tools/train.py configs/ssdlite_mobilenetv3_small.py
_base_ = "./ssdlite_mixnet.py"

model = dict(
    backbone=dict(type="mixnet_dense.MobileNetV3", arch="small"),
    neck=dict(in_channels=(288, 576)),
    bbox_head=dict(in_channels=(288, 576, 512, 256, 256, 128)),
)
