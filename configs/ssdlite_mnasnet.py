# MnasNet-A1 SSDLite, 320 x 320, COCO from scratch. Not trained here.
# The paper's own, with another recipe: MobileNetV3 table 6: 23.0 mAP on COCO test.
#   python tools/train.py configs/ssdlite_mnasnet.py
_base_ = "./ssdlite_mixnet.py"

model = dict(
    backbone=dict(type="mixnet_dense.MnasNet", arch="detection"),
    neck=dict(in_channels=(672, 1280)),
    bbox_head=dict(in_channels=(672, 1280, 512, 256, 256, 128)),
)
