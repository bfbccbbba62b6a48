# MobileNetV2 with a halved last stage, R-ASPP, output stride 16, Cityscapes from scratch.
# Not trained here.
# The paper's own: MobileNetV3 table 7, row 2: 72.56 mIoU on val.
#   python tools/train.py configs/raspp_mobilenetv2_reduced.py
_base_ = "./raspp_mobilenetv2.py"

model = dict(
    backbone=dict(reduced_tail="segmentation"),
    decode_head=dict(in_channels=160),
)
