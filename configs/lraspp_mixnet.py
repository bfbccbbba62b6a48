# MixNet-S LR-ASPP, output stride 16, Cityscapes from scratch. Not trained here.
# No paper has these networks. The backbone ends with its last stage, halved, as MobileNetV2's
# does in MobileNetV3 table 7: the 1536 channels behind it are for 1000 classes.
#   python tools/train.py configs/lraspp_mixnet.py
_base_ = "./lraspp_mobilenetv3_large.py"

model = dict(
    backbone=dict(
        type="mixnet_dense.MixNet",
        arch="s",
        out_taps=("c3_depthwise", "c5"),
    ),
    decode_head=dict(in_channels=(240, 104)),
)
