# MobileNetV3-Small, halved behind C4 SSDLite, 320 x 320, COCO from scratch. Not trained here.
# The paper's own, with another recipe: MobileNetV3 table 6, the dagger row: 16.1 mAP on COCO test.
#   python tools/train.py configs/ssdlite_mobilenetv3_small_reduced.py
_base_ = "./ssdlite_mixnet.py"

model = dict(
    backbone=dict(type="mixnet_dense.MobileNetV3", arch="small", reduced_tail="detection"),
    neck=dict(in_channels=(288, 288)),
    bbox_head=dict(in_channels=(288, 288, 512, 256, 256, 128)),
)
