# MobileNetV2 LR-ASPP with 256 filters, output stride 16, Cityscapes from scratch.
# Not trained here.
# The paper's own: MobileNetV3 table 7, row 3: 72.97 mIoU on val.
#   python tools/train.py configs/lraspp_mobilenetv2_f256.py
_base_ = "./lraspp_mobilenetv3_large.py"

model = dict(
    backbone=dict(
        arch="classification", type="mixnet_dense.MobileNetV2", out_taps=("c3_depthwise", "c5")
    ),
    decode_head=dict(in_channels=(192, 160), channels=256),
)
