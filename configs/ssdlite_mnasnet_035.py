# MnasNet-A1 0.35 SSDLite, 320 x 320, COCO from scratch. Not trained here.
# The paper's own, with another recipe: MobileNetV3 table 6: 15.6 mAP on COCO test.
#   python tools/train.py configs/ssdlite_mnasnet_035.py
_base_ = "./ssdlite_mixnet.py"

model = dict(
    backbone=dict(type="mixnet_dense.MnasNet", arch="detection", width=0.35),
    neck=dict(in_channels=(240, 448), extra_channels=(179, 89, 89, 44)),
    bbox_head=dict(in_channels=(240, 448, 179, 89, 89, 44)),
)
