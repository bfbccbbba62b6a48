# MobileNetV3-Small LR-ASPP, output stride 16, Cityscapes from scratch. Not trained here.
# The paper's own: MobileNetV3 table 7, row 11: 68.38 mIoU on val.
# Table 8 has 69.4 for it on test.
#   python tools/train.py configs/lraspp_mobilenetv3_small.py
_base_ = "./lraspp_mobilenetv3_large.py"

model = dict(
    backbone=dict(arch="small"),
    decode_head=dict(in_channels=(88, 288)),
)
