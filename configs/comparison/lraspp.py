# Our LR-ASPP beside mmseg's, which is lraspp_of_mmseg.py: the embedded sample, images stretched
# to 512 x 512, 500 steps of 4 images. docs/segmentation.md has the commands and the result.
_base_ = "../lraspp_mobilenetv3_small_sample.py"
size = (512, 512)
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations"),
    dict(type="Resize", scale=size, keep_ratio=False),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackSegInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=size, keep_ratio=False),
    dict(type="LoadAnnotations"),
    dict(type="PackSegInputs"),
]
model = dict(data_preprocessor=dict(size=size))
train_dataloader = dict(batch_size=4, dataset=dict(pipeline=train_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
val_dataloader = val_cfg = val_evaluator = None
steps = 500
train_cfg = dict(_delete_=True, type="IterBasedTrainLoop", max_iters=steps)
optim_wrapper = dict(optimizer=dict(lr=2e-3))
param_scheduler = [dict(type="PolyLR", power=0.9, end=steps, by_epoch=False)]
default_hooks = dict(
    checkpoint=dict(_delete_=True, type="CheckpointHook", by_epoch=False, interval=steps)
)
log_processor = dict(by_epoch=False)
