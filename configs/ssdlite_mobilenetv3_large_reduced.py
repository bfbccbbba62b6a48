# MobileNetV3-Large, halved behind C4 SSDLite, 320 x 320, COCO from scratch. Not trained here.
# The paper's own, with another recipe: MobileNetV3 table 6, the dagger row: 22.0 mAP on COCO test.
#   python tools/train.py configs/ssdlite_mobilenetv3_large_reduced.py
_base_ = "./ssdlite_mixnet.py"

model = dict(
    backbone=dict(type="mixnet_dense.MobileNetV3", arch="large", reduced_tail="detection"),
    neck=dict(in_channels=(672, 480)),
    bbox_head=dict(in_channels=(672, 480, 512, 256, 256, 128)),
)
