# MobileNetV1 with 7x7 kernels, SSDLite, 320 x 320, COCO from scratch. Not trained here.
# The paper's own, with another recipe: MixConv table 1: 21.8 mAP on COCO.
#   python tools/train.py configs/ssdlite_mobilenetv1_7x7.py
_base_ = "./ssdlite_mixnet.py"

model = dict(
    backbone=dict(type="mixnet_dense.MobileNetV1", arch="v1", kernel_sizes=(7,)),
    neck=dict(in_channels=(512, 1024)),
    bbox_head=dict(in_channels=(512, 1024, 512, 256, 256, 128)),
)
