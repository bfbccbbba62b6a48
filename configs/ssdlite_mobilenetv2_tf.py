# MobileNetV2 SSDLite of TensorFlow's Object Detection API: COCO at 300 x 300.
# It loads the converted weights of ssdlite_mobilenet_v2_coco. The recipe is TensorFlow's of this
# name, but its RMSprop starts with a mean square of 1, torch's with 0. The learning rate is for 24
# images a step; for any other number of images add --auto-scale-lr to the training command.
# https://github.com/tensorflow/models/tree/master/research/object_detection/samples/configs
#   python tools/train.py configs/ssdlite_mobilenetv2_tf.py
#   python tools/convert_weights.py GRAPH weights.pth --source tensorflow \
#     --model ssdlite_mobilenetv2_coco
#   python tools/test.py configs/ssdlite_mobilenetv2_tf.py weights.pth
_base_ = [
    "_base_/models/ssdlite_tensorflow.py",
    "_base_/datasets/coco_tensorflow.py",
    "_base_/schedules/coco_tensorflow.py",
    "_base_/runtime.py",
]

input_size = (300, 300)
norm_cfg = dict(type="BN", eps=0.001, momentum=0.0003)
model = dict(
    backbone=dict(type="mixnet_dense.MobileNetV2", arch="detection", norm_cfg=norm_cfg),
    neck=dict(norm_cfg=norm_cfg),
    bbox_head=dict(norm_cfg=norm_cfg, loss_cls=dict(background_as_zeros=False)),
)
train_pipeline = _base_.train_pipeline
train_pipeline[3].update(scale=input_size)  # TensorFlowResize
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(scale=input_size)
train_dataloader = dict(batch_size=24, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
train_cfg = dict(max_iters=200_000)
optim_wrapper = dict(
    optimizer=dict(
        _delete_=True,
        type="RMSprop",
        lr=0.004,
        alpha=0.9,
        momentum=0.9,
        eps=1.0,
        weight_decay=4e-5,
    )
)
param_scheduler = [dict(type="StepLR", by_epoch=False, step_size=800_720, gamma=0.95)]
auto_scale_lr = dict(base_batch_size=24)
log_processor = dict(by_epoch=False)
