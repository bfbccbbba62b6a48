# FCOS with FPN on MixNet-S: the embedded sample.
# On a GPU its focal loss needs a compiled mmcv.
#   mixnet-dense train reuse/fcos_mixnet
_base_ = "../ssdlite_mixnet_sample.py"
model = dict(
    type="FCOS",
    backbone=dict(
        _delete_=True, type="mixnet_dense.MixNet", arch="s", out_taps=("c2", "c3", "c4", "c5")
    ),
    neck=dict(
        _delete_=True,
        type="FPN",
        in_channels=[24, 40, 120, 200],
        out_channels=96,
        start_level=1,
        add_extra_convs="on_output",
        num_outs=5,
        relu_before_extra_convs=True,
    ),
    bbox_head=dict(
        _delete_=True, type="FCOSHead", num_classes=4, in_channels=96, feat_channels=96,
        strides=[8, 16, 32, 64, 128],
    ),
    train_cfg=dict(_delete_=True),
)  # fmt: skip
