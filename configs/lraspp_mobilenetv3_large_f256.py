# MobileNetV3-Large LR-ASPP with 256 filters, output stride 16, Cityscapes from scratch.
# Not trained here.
# The paper's own: MobileNetV3 table 7, row 7: 72.37 mIoU on val.
#   python tools/train.py configs/lraspp_mobilenetv3_large_f256.py
_base_ = "./lraspp_mobilenetv3_large.py"

model = dict(
    decode_head=dict(channels=256),
)
