# MobileNetV3-Small SSDLite from timm's ImageNet weights (pip install timm): COCO at 320 x 320.
#   python tools/train.py configs/ssdlite_mobilenetv3_small_pretrained.py
_base_ = "./ssdlite_mobilenetv3_small.py"
model = dict(
    backbone=dict(
        norm_cfg=dict(eps=1e-5),
        init_cfg=dict(type="Pretrained", checkpoint="timm://mobilenetv3_small_100"),
    )
)
