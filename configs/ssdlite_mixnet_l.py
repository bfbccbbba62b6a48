# MixNet-L SSDLite, 320 x 320, COCO from scratch. Not trained here: no accuracy is claimed.
#   python tools/train.py configs/ssdlite_mixnet_l.py
_base_ = "./ssdlite_mixnet.py"

model = dict(
    backbone=dict(arch="l"),
    neck=dict(in_channels=(960, 1536)),
    bbox_head=dict(in_channels=(960, 1536, 512, 256, 256, 128)),
)
