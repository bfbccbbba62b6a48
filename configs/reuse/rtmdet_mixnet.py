# RTMDet on MixNet-S: the embedded sample.
#   mixnet-dense train reuse/rtmdet_mixnet
_base_ = "../ssdlite_mixnet_sample.py"
layers = dict(norm_cfg=dict(type="BN"), act_cfg=dict(type="SiLU"))
model = dict(
    type="RTMDet",
    backbone=dict(_delete_=True, type="mixnet_dense.MixNet", arch="s", out_taps=("c3", "c4", "c5")),
    neck=dict(
        _delete_=True,
        type="CSPNeXtPAFPN",
        in_channels=[40, 120, 200],
        out_channels=96,
        num_csp_blocks=1,
        expand_ratio=0.5,
        **layers,
    ),
    bbox_head=dict(
        _delete_=True, type="RTMDetSepBNHead", num_classes=4, in_channels=96, feat_channels=96,
        anchor_generator=dict(type="MlvlPointGenerator", offset=0, strides=[8, 16, 32]),
        bbox_coder=dict(type="DistancePointBBoxCoder"),
        loss_cls=dict(type="QualityFocalLoss", use_sigmoid=True, beta=2.0, loss_weight=1.0),
        loss_bbox=dict(type="GIoULoss", loss_weight=2.0),
        with_objectness=False, exp_on_reg=True, share_conv=True, **layers,
    ),
    train_cfg=dict(_delete_=True, assigner=dict(type="DynamicSoftLabelAssigner", topk=13),
        allowed_border=-1, pos_weight=-1),
)  # fmt: skip
