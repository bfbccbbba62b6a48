# own_data.py for segmentation.
_base_ = "./own_data.py"
default_hooks = dict(checkpoint=dict(save_best="mIoU"))
