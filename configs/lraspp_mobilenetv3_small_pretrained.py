# MobileNetV3-Small LR-ASPP from timm's ImageNet weights (pip install timm). Not trained here.
#   python tools/train.py configs/lraspp_mobilenetv3_small_pretrained.py
# The halved last stage begins from scratch.
_base_ = "./lraspp_mobilenetv3_small.py"
model = dict(
    backbone=dict(
        norm_cfg=dict(eps=1e-5),
        init_cfg=dict(type="Pretrained", checkpoint="timm://mobilenetv3_small_100"),
    )
)
