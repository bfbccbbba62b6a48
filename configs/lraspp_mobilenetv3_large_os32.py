# MobileNetV3-Large LR-ASPP, output stride 32, Cityscapes from scratch. Not trained here.
# The paper's own: MobileNetV3 table 8: 72.0 mIoU on test.
#   python tools/train.py configs/lraspp_mobilenetv3_large_os32.py
_base_ = "./lraspp_mobilenetv3_large.py"

model = dict(
    backbone=dict(output_stride=32),
    decode_head=dict(pool=25, pool_stride=(4, 5)),
)
