# MobileNetV3-Small SSDLite as TensorFlow's Object Detection API has it: COCO at 320 x 320, twice
# as long as Large. Takes the weights of its ssd_mobilenet_v3_small_coco; no such file was to be
# had to check it.
#   python tools/train.py configs/ssdlite_mobilenetv3_small_tf.py
#   python tools/convert_weights.py FOLDER_OR_FILE weights.pth --source tensorflow \
#     --model ssdlite_mobilenetv3_small_coco
#   python tools/test.py configs/ssdlite_mobilenetv3_small_tf.py weights.pth
_base_ = "./ssdlite_mobilenetv3_large_tf.py"

model = dict(backbone=dict(arch="small"))
max_iters = 800_000
train_cfg = dict(max_iters=max_iters)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=max_iters, T_max=max_iters - 2_000)
