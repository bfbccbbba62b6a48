# MixNet-S with a halved last stage, LR-ASPP 128, output stride 16: Cityscapes.
# No paper has this network. The backbone ends with its last stage, as MobileNetV2 does in
# MobileNetV3's table 7. The 1536 channels after that stage are made for 1000 classes.
#   python tools/train.py configs/lraspp_mixnet.py
_base_ = [
    "_base_/models/lraspp.py",
    "_base_/datasets/cityscapes.py",
    "_base_/schedules/cityscapes_860e.py",
    "_base_/runtime.py",
]

model = dict(backbone=dict(type="mixnet_dense.MixNet", arch="s", out_taps=("c3_depthwise", "c5")))
