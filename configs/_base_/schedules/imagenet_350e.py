# MixConv section 4.2 trains with MnasNet's settings (https://arxiv.org/abs/1807.11626, section 5):
# RMSprop with decay and momentum 0.9, weight decay 1e-5; the learning rate grows to 0.256 in 5
# epochs, then falls by 0.97 every 2.4 epochs (here a little after each epoch); 4096 images a step.
# The papers do not say: 350 epochs, no weight decay of batch norm, and epsilon 0.001 are those of
# MnasNet's released code. TensorFlow adds epsilon below the root, PyTorch behind it: 0.0316 here.
max_epochs = 350
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=max_epochs, val_interval=10)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(
        type="RMSprop", lr=0.256, alpha=0.9, momentum=0.9, eps=0.0316, weight_decay=1e-5
    ),
    paramwise_cfg=dict(norm_decay_mult=0),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, end=5, convert_to_iter_based=True),
    dict(type="ExponentialLR", gamma=0.97 ** (1 / 2.4), begin=5),
]
auto_scale_lr = dict(enable=False, base_batch_size=4096)
default_hooks = dict(
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=50),
    param_scheduler=dict(type="ParamSchedulerHook"),
    checkpoint=dict(type="CheckpointHook", interval=1, max_keep_ckpts=3, save_best="accuracy/top1"),
    sampler_seed=dict(type="DistSamplerSeedHook"),
)
