# From scratch: 860 epochs of Cityscapes' 2975 images, 160,000 steps of 16 crops, with momentum
# and DeepLab's polynomial decay of power 0.9 (https://arxiv.org/abs/1706.05587, the protocol
# that MobileNetV3 section 6.4 names; its 90,000 steps begin from ImageNet). The length, the
# rate and the weight decay lie between published trainings of LR-ASPP heads on MobileNetV3:
# mmseg from scratch, 320,000 steps of 16 at 0.01 and 5e-4 (67.9 mIoU), and PaddleSeg from
# ImageNet, 80,000 at 0.005 and 5e-4 (72.3 to 73.2 at output stride 8).
# The learning rate 0.01 is for 16 crops a step: 2 GPUs with 8 crops each. For any other number
# of crops add --auto-scale-lr to the training command.
max_epochs = 860
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=max_epochs, val_interval=20)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="SGD", lr=0.01, momentum=0.9, weight_decay=5e-4),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=1000),
    dict(
        type="PolyLR",
        power=0.9,
        eta_min=0,
        begin=0,
        end=max_epochs,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
auto_scale_lr = dict(enable=False, base_batch_size=16)
default_hooks = dict(
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=50),
    param_scheduler=dict(type="ParamSchedulerHook"),
    checkpoint=dict(type="CheckpointHook", interval=1, max_keep_ckpts=3, save_best="mIoU"),
    sampler_seed=dict(type="DistSamplerSeedHook"),
)
