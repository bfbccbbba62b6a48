# The Object Detection API's recipe for SSDLite on MobileNetV3, from scratch: momentum SGD, 400,000
# steps of 512 images, a cosine from 0.4 after 2,000 steps of warm-up. Weights decay, biases and
# batch norm do not.
# https://github.com/tensorflow/models/tree/master/research/object_detection/samples/configs
# (ssdlite_mobilenet_v3_large_320x320_coco.config). Here a step is 32 GPUs with 16 images each; for
# any other number of images add --auto-scale-lr to the training command.
max_iters = 400_000
train_cfg = dict(type="IterBasedTrainLoop", max_iters=max_iters, val_interval=10_000)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="SGD", lr=0.4, momentum=0.9, weight_decay=4e-5),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=1 / 3, by_epoch=False, begin=0, end=2_000),
    dict(
        type="CosineAnnealingLR",
        eta_min=0,
        begin=2_000,
        end=max_iters,
        T_max=max_iters - 2_000,
        by_epoch=False,
    ),
]
auto_scale_lr = dict(enable=False, base_batch_size=512)
default_hooks = dict(
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=50),
    param_scheduler=dict(type="ParamSchedulerHook"),
    checkpoint=dict(
        type="CheckpointHook",
        by_epoch=False,
        interval=10_000,
        max_keep_ckpts=3,
        save_best="coco/bbox_mAP",
    ),
    sampler_seed=dict(type="DistSamplerSeedHook"),
)
