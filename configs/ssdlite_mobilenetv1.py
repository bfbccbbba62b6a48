# MobileNetV1 SSDLite, 320 x 320, COCO from scratch. Not trained here.
# The paper's own, with another recipe: MobileNetV3 table 6: 22.2 mAP on COCO test.
#   python tools/train.py configs/ssdlite_mobilenetv1.py
_base_ = "./ssdlite_mixnet.py"

model = dict(
    backbone=dict(type="mixnet_dense.MobileNetV1", arch="v1"),
    neck=dict(in_channels=(512, 1024)),
    bbox_head=dict(in_channels=(512, 1024, 512, 256, 256, 128)),
)
