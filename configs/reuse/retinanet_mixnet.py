# RetinaNet with FPN on MixNet-S: the embedded sample.
# On a GPU its focal loss needs a compiled mmcv.
#   mixnet-dense train reuse/retinanet_mixnet
_base_ = "../ssdlite_mixnet_sample.py"
model = dict(
    type="RetinaNet",
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
    ),
    bbox_head=dict(
        _delete_=True,
        type="RetinaHead",
        num_classes=4,
        in_channels=96,
        feat_channels=96,
        loss_cls=dict(type="FocalLoss", use_sigmoid=True),
    ),
    train_cfg=dict(_delete_=True, assigner=dict(type="MaxIoUAssigner", pos_iou_thr=0.5,
        neg_iou_thr=0.4), sampler=dict(type="PseudoSampler"), allowed_border=-1, pos_weight=-1),
)  # fmt: skip
