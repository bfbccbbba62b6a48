# MobileNetV2 0.35 LR-ASPP, output stride 16, Cityscapes from scratch. Not trained here.
# The paper's own: MobileNetV3 table 7, row 10: 66.83 mIoU on val.
#   python tools/train.py configs/lraspp_mobilenetv2_035.py
_base_ = "./lraspp_mobilenetv3_large.py"

model = dict(
    backbone=dict(
        arch="classification",
        type="mixnet_dense.MobileNetV2",
        out_taps=("c3_depthwise", "c5"),
        width=0.35,
    ),
    decode_head=dict(in_channels=(96, 56)),
)
