# MixNet-L LR-ASPP, output stride 16, Cityscapes from scratch. Not trained here.
# See lraspp_mixnet.py for where the backbone ends.
#   python tools/train.py configs/lraspp_mixnet_l.py
_base_ = "./lraspp_mobilenetv3_large.py"

model = dict(
    backbone=dict(
        type="mixnet_dense.MixNet",
        arch="l",
        out_taps=("c3_depthwise", "c5"),
    ),
    decode_head=dict(in_channels=(336, 136)),
)
