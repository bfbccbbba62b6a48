# COCO as TensorFlow's Object Detection API uses it for SSDLite: a class for each id, TensorFlow's
# bilinear resize, crops and mirrored images but no changes of colour
# (ssd_random_crop and random_horizontal_flip; schedules/coco_tensorflow.py names the source).
_base_ = "./coco_by_id.py"

input_size = (320, 320)
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="mixnet_dense.ExpandMinIoURandomCrop", prob=0.0),
    dict(type="mixnet_dense.TensorFlowResize", scale=input_size),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackDetInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="mixnet_dense.TensorFlowResize", scale=input_size),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="PackDetInputs", meta_keys=_base_.meta_keys),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
