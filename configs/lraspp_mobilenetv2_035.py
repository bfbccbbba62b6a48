# MobileNetV2 0.35 with a halved last stage, LR-ASPP 128, output stride 16: Cityscapes.
# Paper: 66.83 mIoU on val (MobileNetV3 table 7, row 10).
#   python tools/train.py configs/lraspp_mobilenetv2_035.py
_base_ = [
    "_base_/models/lraspp.py",
    "_base_/datasets/cityscapes.py",
    "_base_/schedules/cityscapes_860e.py",
    "_base_/runtime.py",
]

model = dict(
    backbone=dict(
        type="mixnet_dense.MobileNetV2",
        arch="classification",
        out_taps=("c3_depthwise", "c5"),
        width=0.35,
    )
)
