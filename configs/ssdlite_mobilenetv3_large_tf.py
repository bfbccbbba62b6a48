# MobileNetV3-Large SSDLite as TensorFlow's Object Detection API has it: COCO at 320 x 320.
# Takes the weights of its ssd_mobilenet_v3_large_coco; no such file was to be had to check it.
# Recipe and its source: _base_/schedules/coco_tensorflow.py. The loss is focal, of all anchors.
#   python tools/train.py configs/ssdlite_mobilenetv3_large_tf.py
#   python tools/convert_weights.py FOLDER_OR_FILE weights.pth --source tensorflow \
#     --model ssdlite_mobilenetv3_large_coco
#   python tools/test.py configs/ssdlite_mobilenetv3_large_tf.py weights.pth
_base_ = [
    "_base_/models/ssdlite_tensorflow.py",
    "_base_/datasets/coco_tensorflow.py",
    "_base_/schedules/coco_tensorflow.py",
    "_base_/runtime.py",
]

predictors = dict(type="Normal", name="cls_convs", layer="Conv2d", std=0.03, bias=-4.6)
model = dict(
    backbone=dict(type="mixnet_dense.MobileNetV3", arch="large", reduced_tail="detection"),
    bbox_head=dict(
        loss_cls=dict(alpha=0.75, gamma=2.0),
        init_cfg=[
            dict(type="Normal", layer="Conv2d", std=0.03, override=predictors),
            dict(type="Constant", val=1, layer="BatchNorm2d"),
        ],
    ),
    train_cfg=dict(neg_pos_ratio=None, loss_bbox_weight=0.25),
)
train_dataloader = dict(batch_size=16)
log_processor = dict(by_epoch=False)
