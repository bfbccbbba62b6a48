# MixNet-S: all weights fine-tuned on images of other classes, such as Food-101's (MixConv section
# 4.4), with mmpretrain. load_from is a checkpoint of reuse/mixnet_imagenet, or what this writes:
# tools/convert_weights.py timm://mixnet_s ours.pth --source timm --model mixnet_s --classifier
# MixConv points to https://arxiv.org/abs/1805.08974: SGD with Nesterov's momentum, a cosine over
# 20,000 steps of 256 images. Its learning rate and weight decay are searched for each data set.
#   mixnet-dense train reuse/mixnet_transfer --cfg-options load_from=CKPT
_base_ = "./mixnet_imagenet.py"
model = dict(num_classes=101, loss=dict(label_smooth_val=0.0))
data = dict(data_root="data/food101")
train_dataloader = dict(batch_size=256, sampler=dict(type="InfiniteSampler"), dataset=data)
val_dataloader = dict(dataset=data)
test_dataloader = val_dataloader
train_cfg = dict(_delete_=True, type="IterBasedTrainLoop", max_iters=20_000, val_interval=1000)
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type="SGD", lr=0.01, momentum=0.9, nesterov=True,
        weight_decay=1e-4),
)  # fmt: skip
param_scheduler = [dict(type="CosineAnnealingLR", T_max=20_000, by_epoch=False)]
custom_hooks = [dict(type="mixnet_dense.LiveProgressHook")]  # no moving average
default_hooks = dict(
    logger=dict(log_metric_by_epoch=False), checkpoint=dict(by_epoch=False, interval=1000)
)
log_processor = dict(by_epoch=False)
auto_scale_lr = dict(base_batch_size=256)
