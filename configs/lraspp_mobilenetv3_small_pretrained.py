# MobileNetV3-Small LR-ASPP from timm's ImageNet weights (pip install timm): Cityscapes.
# The halved last stage begins from scratch.
#   python tools/train.py configs/lraspp_mobilenetv3_small_pretrained.py
_base_ = "./lraspp_mobilenetv3_small.py"
model = dict(
    backbone=dict(
        norm_cfg=dict(eps=1e-5),
        init_cfg=dict(type="Pretrained", checkpoint="timm://mobilenetv3_small_100"),
    )
)
