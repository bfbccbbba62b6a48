# MixNet-S SSDLite: the embedded sample at 192 x 192, for two CPU cores.
# Its scenes are varied already, so images are not cropped. The learning rate 0.002 is for 8
# images a step.
#   make demo
_base_ = "./ssdlite_mixnet.py"
input_size = (192, 192)
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="Resize", scale=input_size, keep_ratio=False),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PhotoMetricDistortion"),
    dict(type="PackDetInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=input_size, keep_ratio=False),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="PackDetInputs", meta_keys=_base_.meta_keys),
]
data = dict(data_root="data/sample/", metainfo=dict(classes=("coin", "zero", "three", "four")))
model = dict(bbox_head=dict(num_classes=4))
train_dataloader = dict(batch_size=8, num_workers=1, dataset=dict(pipeline=train_pipeline, **data))
val_dataloader = dict(batch_size=25, num_workers=1, dataset=dict(pipeline=test_pipeline, **data))
test_dataloader = val_dataloader
val_evaluator = dict(classwise=True)
test_evaluator = val_evaluator
train_cfg = dict(max_epochs=3, val_interval=3)
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type="AdamW", lr=2e-3, weight_decay=0.05, fused=True),
    clip_grad=dict(max_norm=2),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, end=100),
    dict(type="CosineAnnealingLR", T_max=1050, by_epoch=False),
]
auto_scale_lr = dict(base_batch_size=8)
