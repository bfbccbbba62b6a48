# MobileNetV2 with a halved last stage, LR-ASPP 256, output stride 16: Cityscapes.
# Paper: 72.97 mIoU on val (MobileNetV3 table 7, row 3).
#   python tools/train.py configs/lraspp_mobilenetv2_f256.py
_base_ = [
    "_base_/models/lraspp.py",
    "_base_/datasets/cityscapes.py",
    "_base_/schedules/cityscapes_860e.py",
    "_base_/runtime.py",
]

model = dict(
    backbone=dict(
        type="mixnet_dense.MobileNetV2", arch="classification", out_taps=("c3_depthwise", "c5")
    ),
    decode_head=dict(channels=256),
)
