# Fine-tuning a trained detector on some hundreds of images: AdamW, counted in steps, a short
# warm-up and a cosine to the end of train_cfg.max_iters. Batch norm keeps the statistics of the
# checkpoint: a few images have none that are better, and weights of TensorFlow.js have none that
# batches could replace. docs/finetuning.md says what it reaches. The learning rate 0.0005 is for
# 16 images a step.
train_cfg = dict(type="IterBasedTrainLoop", max_iters=100, val_interval=50)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=5e-4, weight_decay=0.05),
    clip_grad=dict(max_norm=10),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=10),
    dict(type="CosineAnnealingLR", by_epoch=False, begin=10),
]
auto_scale_lr = dict(enable=False, base_batch_size=16)
default_hooks = dict(
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=10, log_metric_by_epoch=False),
    param_scheduler=dict(type="ParamSchedulerHook"),
    checkpoint=dict(
        type="CheckpointHook", by_epoch=False, interval=50, max_keep_ckpts=1,
        save_best="coco/bbox_mAP",
    ),
    sampler_seed=dict(type="DistSamplerSeedHook"),
    fixed_norm=dict(type="mixnet_dense.FixedNormHook"),
)  # fmt: skip
