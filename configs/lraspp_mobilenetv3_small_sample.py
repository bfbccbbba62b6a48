# MobileNetV3-Small LR-ASPP on the embedded sample, for two CPU cores: make demo-seg
# Measured: 60.8 mIoU after 2 min 21 s of training, see README.md.
_base_ = "./lraspp_mobilenetv3_large.py"
crop_size = (224, 224)
train_pipeline = _base_.train_pipeline
train_pipeline[2].update(scale=(256, 256), ratio_range=(0.8, 1.25))  # RandomResize
train_pipeline[3].update(crop_size=crop_size)  # RandomCrop
classes = ("background", "coin", "zero", "three", "four")
palette = [[40, 40, 40], [250, 170, 30], [0, 130, 230], [60, 180, 75], [230, 25, 75]]
model = dict(
    data_preprocessor=dict(size=crop_size),
    backbone=dict(arch="small"),
    decode_head=dict(in_channels=(88, 288), num_classes=len(classes)),
)
data = dict(data_root="data/sample/", metainfo=dict(classes=classes, palette=palette))
train_dataloader = dict(batch_size=16, num_workers=1, dataset=dict(pipeline=train_pipeline, **data))
val_dataloader = dict(num_workers=1, dataset=data)
test_dataloader = val_dataloader
max_epochs = 3
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
auto_scale_lr = dict(enable=False)
adamw = dict(_delete_=True, type="AdamW", lr=4e-3, weight_decay=0.05, fused=True)
optim_wrapper = dict(optimizer=adamw, clip_grad=dict(max_norm=2))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, end=100),
    dict(type="PolyLR", power=0.9, end=max_epochs, convert_to_iter_based=True),
]
