# MixNet-L SSDLite from timm's ImageNet weights (pip install timm): COCO at 320 x 320.
#   python tools/train.py configs/ssdlite_mixnet_l_pretrained.py
_base_ = "./ssdlite_mixnet_l.py"
model = dict(
    backbone=dict(
        norm_cfg=dict(eps=1e-5), init_cfg=dict(type="Pretrained", checkpoint="timm://mixnet_l")
    )
)
