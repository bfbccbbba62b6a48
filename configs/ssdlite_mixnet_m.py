# MixNet-M SSDLite, 320 x 320, COCO from scratch. Not trained here: no accuracy is claimed.
#   python tools/train.py configs/ssdlite_mixnet_m.py
_base_ = "./ssdlite_mixnet.py"

model = dict(backbone=dict(arch="m"))
