# Fine-tuning a trained detector on some hundreds of images: own_data.py with fewer steps and half
# its learning rate, which is for 16 images a step. Batch norm keeps the statistics of the
# checkpoint: a few images have none that are better, and weights of TensorFlow.js have none that
# batches could replace. docs/finetuning.md says what it reaches.
_base_ = "./own_data.py"
train_cfg = dict(max_iters=100, val_interval=50)
optim_wrapper = dict(optimizer=dict(lr=5e-4))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=10),
    dict(type="CosineAnnealingLR", by_epoch=False, begin=10),
]
default_hooks = dict(
    checkpoint=dict(interval=50), fixed_norm=dict(type="mixnet_dense.FixedNormHook")
)
