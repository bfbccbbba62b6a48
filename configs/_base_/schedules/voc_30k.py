# DeepLab's 30,000 steps of 16 crops from a backbone trained on ImageNet, with momentum and a
# polynomial decay of power 0.9 from 0.007 (https://arxiv.org/abs/1706.05587, section 4). DeepLab
# trains on 10,582 images; 1,464 of them are in VOC's own training set. The weight decay is that of
# its code for MobileNetV2: https://github.com/tensorflow/models/tree/master/research/deeplab
# A step is 2 GPUs with 8 crops each. For any other number of crops add --auto-scale-lr to the
# training command.
max_iters = 30_000
train_cfg = dict(type="IterBasedTrainLoop", max_iters=max_iters, val_interval=2_000)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="SGD", lr=0.007, momentum=0.9, weight_decay=4e-5),
)
param_scheduler = [dict(type="PolyLR", power=0.9, eta_min=0, end=max_iters, by_epoch=False)]
auto_scale_lr = dict(enable=False, base_batch_size=16)
default_hooks = dict(
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type="ParamSchedulerHook"),
    checkpoint=dict(
        type="CheckpointHook", by_epoch=False, interval=2_000, max_keep_ckpts=3, save_best="mIoU"
    ),
    sampler_seed=dict(type="DistSamplerSeedHook"),
)
