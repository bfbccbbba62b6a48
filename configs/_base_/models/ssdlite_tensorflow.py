# SSDLite as TensorFlow's Object Detection API builds it: SAME padding, sigmoid scores in 90
# classes and a slot for the background, its order of anchors, almost no score threshold.
_base_ = "./ssdlite.py"

anchors = dict(type="mixnet_dense.SSDLiteAnchorGenerator", inverses=(0.5, 0.3333), mean_last=True)
model = dict(
    data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3),
    backbone=dict(padding="same"),
    neck=dict(padding="same"),
    bbox_head=dict(
        num_classes=90,
        anchor_generator=anchors,
        loss_cls=dict(type="mixnet_dense.SigmoidLoss"),
    ),
    test_cfg=dict(score_thr=1e-8),
)
