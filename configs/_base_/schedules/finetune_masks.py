# finetune.py for segmentation.
_base_ = "./finetune.py"
default_hooks = dict(checkpoint=dict(save_best="mIoU"))
