# From scratch: SGD, 600 epochs at 192 images and learning rate 0.015, cosine. The recipe
# that mmdet publishes for SSDLite-MobileNetV2 from scratch (8 x 24 images, 21.3 mAP):
# https://github.com/open-mmlab/mmdetection/tree/main/configs/ssd
max_epochs = 600
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=max_epochs, val_interval=20)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="SGD", lr=0.015, momentum=0.9, weight_decay=4e-5),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=500),
    dict(
        type="CosineAnnealingLR",
        eta_min=0,
        begin=0,
        end=max_epochs,
        T_max=max_epochs,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
# The learning rate above is for 192 images a step; any other batch size scales it.
auto_scale_lr = dict(enable=True, base_batch_size=192)
