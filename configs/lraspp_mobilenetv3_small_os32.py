# MobileNetV3-Small LR-ASPP, output stride 32, Cityscapes from scratch. Not trained here.
# The paper's own: MobileNetV3 table 8: 68.3 mIoU on test.
#   python tools/train.py configs/lraspp_mobilenetv3_small_os32.py
_base_ = "./lraspp_mobilenetv3_large.py"

model = dict(
    backbone=dict(arch="small", output_stride=32),
    decode_head=dict(in_channels=(88, 288), pool=25, pool_stride=(4, 5)),
)
