# ssdlite_tensorflow.py for MobileNetV3: halved last stage, focal loss over all anchors, and a box
# loss that is also divided by the four numbers of a box.
_base_ = "./ssdlite_tensorflow.py"

predictors = dict(type="Normal", name="cls_convs", layer="Conv2d", std=0.03, bias=-4.6)
model = dict(
    backbone=dict(type="mixnet_dense.MobileNetV3", reduced_tail="detection"),
    bbox_head=dict(
        loss_cls=dict(alpha=0.75, gamma=2.0),
        init_cfg=[
            dict(type="Normal", layer="Conv2d", std=0.03, override=predictors),
            dict(type="Constant", val=1, layer="BatchNorm2d"),
        ],
    ),
    train_cfg=dict(neg_pos_ratio=None, loss_bbox_weight=0.25),
)
