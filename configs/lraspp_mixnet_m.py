# MixNet-M with a halved last stage, LR-ASPP 128, output stride 16: Cityscapes.
# See lraspp_mixnet.py for where the backbone ends.
#   python tools/train.py configs/lraspp_mixnet_m.py
_base_ = [
    "_base_/models/lraspp.py",
    "_base_/datasets/cityscapes.py",
    "_base_/schedules/cityscapes_860e.py",
    "_base_/runtime.py",
]

model = dict(backbone=dict(type="mixnet_dense.MixNet", arch="m", out_taps=("c3_depthwise", "c5")))
