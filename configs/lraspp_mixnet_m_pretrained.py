# MixNet-M LR-ASPP from timm's ImageNet weights (pip install timm): Cityscapes.
# The halved last stage begins from scratch.
#   python tools/train.py configs/lraspp_mixnet_m_pretrained.py
_base_ = "./lraspp_mixnet_m.py"
model = dict(
    backbone=dict(
        norm_cfg=dict(eps=1e-5), init_cfg=dict(type="Pretrained", checkpoint="timm://mixnet_m")
    )
)
