# MobileNetV3-Small SSDLite of TensorFlow's Object Detection API: COCO at 320 x 320.
# Paper: 16.1 mAP on COCO test (MobileNetV3 table 6, the dagger row).
# Made for the weights of its ssd_mobilenet_v3_small_coco; not checked, for lack of their file.
#   python tools/train.py configs/ssdlite_mobilenetv3_small_tf.py
#   python tools/convert_weights.py GRAPH weights.pth --source tensorflow \
#     --model ssdlite_mobilenetv3_small_coco
#   python tools/test.py configs/ssdlite_mobilenetv3_small_tf.py weights.pth
_base_ = [
    "_base_/models/ssdlite_tensorflow_focal.py",
    "_base_/datasets/coco_tensorflow.py",
    "_base_/schedules/coco_tensorflow.py",
    "_base_/runtime.py",
]

model = dict(backbone=dict(arch="small"))
train_dataloader = dict(batch_size=16)
log_processor = dict(by_epoch=False)
max_iters = 800_000
train_cfg = dict(max_iters=max_iters)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=max_iters, T_max=max_iters - 2_000)
