# MixNet-S: ImageNet with mmpretrain, which must be installed. Not trained here.
# Paper: 75.8 % top-1 (MixConv table 2).
#   mixnet-dense train reuse/mixnet_imagenet --auto-scale-lr
# The learning rate 0.256 is for 4096 images a step, such as 32 GPUs with 128. The weights' moving
# average, 0.9999, is tested and saved (as MobileNetV3 section 6.1.1).
_base_ = [
    "../_base_/models/classifier.py",
    "../_base_/datasets/folders.py",
    "../_base_/runtime.py",
    "../_base_/schedules/imagenet_350e.py",
]
model = dict(name="mixnet_s")
custom_hooks = [
    dict(type="EMAHook", momentum=1e-4, update_buffers=True),
    dict(type="mixnet_dense.LiveProgressHook"),
]
