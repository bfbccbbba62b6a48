# SSDLite on a backbone of timm, which must be installed: the embedded sample.
# mmseg wraps timm's backbones; pretrained=True fetches timm's ImageNet weights.
#   mixnet-dense train reuse/ssdlite_timm
_base_ = "../ssdlite_mixnet_sample.py"
model = dict(
    backbone=dict(
        _delete_=True,
        type="mmseg.TIMMBackbone",
        model_name="efficientnet_lite0",
        out_indices=(3, 4),
        pretrained=False,
    ),
    neck=dict(in_channels=(112, 320)),
)
