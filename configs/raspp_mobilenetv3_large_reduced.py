# MobileNetV3-Large with a halved last stage, R-ASPP, output stride 16, Cityscapes from scratch.
# Not trained here.
# The paper's own: MobileNetV3 table 7, row 6: 71.91 mIoU on val.
#   python tools/train.py configs/raspp_mobilenetv3_large_reduced.py
_base_ = "./raspp_mobilenetv2.py"

model = dict(
    backbone=dict(
        type="mixnet_dense.MobileNetV3",
        arch="large",
        out_taps=("last",),
        reduced_tail="segmentation",
    ),
    decode_head=dict(in_channels=480),
)
