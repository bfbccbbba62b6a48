# MobileNetV2 SSDLite of TensorFlow's Object Detection API: your own data at 300 x 300.
# Set the three values below. data_root has images/, annotations/train.json and
# annotations/val.json, as COCO has them. load_from is a detector trained on COCO; docs/weights.md
# says how to convert one. docs/finetuning.md says what to expect.
#   python tools/train.py configs/ssdlite_mobilenetv2_tf_finetune.py
_base_ = [
    "_base_/models/ssdlite_tensorflow.py",
    "_base_/datasets/coco_tensorflow.py",
    "_base_/schedules/finetune.py",
]

data_root = "data/raccoon/"
classes = ("raccoon",)
load_from = "ssdlite.pth"

input_size = (300, 300)
norm_cfg = dict(type="BN", eps=0.001)
model = dict(
    backbone=dict(type="mixnet_dense.MobileNetV2", arch="detection", norm_cfg=norm_cfg),
    neck=dict(norm_cfg=norm_cfg),
    bbox_head=dict(
        num_classes=len(classes), norm_cfg=norm_cfg, loss_cls=dict(background_as_zeros=False)
    ),
)
train_pipeline = _base_.train_pipeline
train_pipeline[3].update(scale=input_size)  # TensorFlowResize
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(scale=input_size)
data = dict(data_root=data_root, metainfo=dict(classes=classes), data_prefix=dict(img="images/"))
train = dict(ann_file="annotations/train.json", pipeline=train_pipeline, **data)
val = dict(ann_file="annotations/val.json", pipeline=test_pipeline, **data)
train_dataloader = dict(
    batch_size=16, num_workers=2, sampler=dict(type="InfiniteSampler"), dataset=train
)
val_dataloader = dict(batch_size=16, dataset=val)
test_dataloader = val_dataloader
val_evaluator = dict(classwise=True)
test_evaluator = val_evaluator
