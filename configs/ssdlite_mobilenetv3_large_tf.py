# MobileNetV3-Large SSDLite of TensorFlow's Object Detection API: COCO at 320 x 320.
# Paper: 22.0 mAP on COCO test (MobileNetV3 table 6, the dagger row).
# Made for the weights of its ssd_mobilenet_v3_large_coco; not checked, for lack of their file.
#   python tools/train.py configs/ssdlite_mobilenetv3_large_tf.py
#   python tools/convert_weights.py GRAPH weights.pth --source tensorflow \
#     --model ssdlite_mobilenetv3_large_coco
#   python tools/test.py configs/ssdlite_mobilenetv3_large_tf.py weights.pth
_base_ = [
    "_base_/models/ssdlite_tensorflow_focal.py",
    "_base_/datasets/coco_tensorflow.py",
    "_base_/schedules/coco_tensorflow.py",
    "_base_/runtime.py",
]

model = dict(backbone=dict(arch="large"))
train_dataloader = dict(batch_size=16)
log_processor = dict(by_epoch=False)
