# Some tens to some thousands of own photos: AdamW, counted in steps, a short warm-up and a cosine
# to the end of train_cfg.max_iters. tools/new_config.py writes the number of steps and the
# learning rate, which is for 16 images a step here.
_base_ = "../runtime.py"
train_cfg = dict(type="IterBasedTrainLoop", max_iters=600, val_interval=60)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=1e-3, weight_decay=0.05),
    clip_grad=dict(max_norm=10),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=20),
    dict(type="CosineAnnealingLR", by_epoch=False, begin=20),
]
auto_scale_lr = dict(enable=False, base_batch_size=16)
log_processor = dict(by_epoch=False)
default_hooks = dict(
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=10, log_metric_by_epoch=False),
    param_scheduler=dict(type="ParamSchedulerHook"),
    checkpoint=dict(
        type="CheckpointHook",
        by_epoch=False,
        interval=100,
        max_keep_ckpts=1,
        save_best="coco/bbox_mAP",
    ),
    sampler_seed=dict(type="DistSamplerSeedHook"),
)
