# MobileNetV3-Small LR-ASPP: the embedded sample, for two CPU cores.
# The learning rate 0.004 is for 16 crops a step.
#   make demo-seg
_base_ = "./lraspp_mobilenetv3_small.py"
crop_size = (224, 224)
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations"),
    dict(type="RandomResize", scale=(256, 256), ratio_range=(0.8, 1.25), keep_ratio=True),
    dict(type="RandomCrop", crop_size=crop_size, cat_max_ratio=0.75),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PhotoMetricDistortion"),
    dict(type="PackSegInputs"),
]
classes = ("background", "coin", "zero", "three", "four")
palette = [[40, 40, 40], [250, 170, 30], [0, 130, 230], [60, 180, 75], [230, 25, 75]]
data = dict(data_root="data/sample/", metainfo=dict(classes=classes, palette=palette))
model = dict(data_preprocessor=dict(size=crop_size), decode_head=dict(num_classes=len(classes)))
train_dataloader = dict(batch_size=16, num_workers=1, dataset=dict(pipeline=train_pipeline, **data))
val_dataloader = dict(num_workers=1, dataset=data)
test_dataloader = val_dataloader
max_epochs = 3
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type="AdamW", lr=4e-3, weight_decay=0.05, fused=True),
    clip_grad=dict(max_norm=2),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, end=50),
    dict(type="PolyLR", power=0.9, end=max_epochs, convert_to_iter_based=True),
]
