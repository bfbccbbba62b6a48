# MixNet-M LR-ASPP, output stride 16, Cityscapes from scratch. Not trained here.
# See lraspp_mixnet.py for where the backbone ends.
#   python tools/train.py configs/lraspp_mixnet_m.py
_base_ = "./lraspp_mobilenetv3_large.py"

model = dict(
    backbone=dict(
        type="mixnet_dense.MixNet",
        arch="m",
        out_taps=("c3_depthwise", "c5"),
    ),
    decode_head=dict(in_channels=(240, 104)),
)
