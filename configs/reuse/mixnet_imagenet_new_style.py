# MixNet-S as a new-style config, whose bases and types are imported: ImageNet with mmpretrain.
#   mixnet-dense train reuse/mixnet_imagenet_new_style --auto-scale-lr
# ruff: noqa: F403, F405
from mmengine.config import read_base
from mmengine.hooks import EMAHook
from mmpretrain.evaluation import Accuracy
from mmpretrain.models.losses import LabelSmoothLoss
from torch.optim import RMSprop

from mixnet_dense import LiveProgressHook
from mixnet_dense.cls import MobileClassifier

with read_base():
    from .._base_.datasets.folders import *
    from .._base_.models.classifier import *
    from .._base_.runtime import *
    from .._base_.schedules.imagenet_350e import *

model.update(type=MobileClassifier, name="mixnet_s")
model.loss.update(type=LabelSmoothLoss)
optim_wrapper.optimizer.update(type=RMSprop)
val_evaluator.update(type=Accuracy)
test_evaluator = val_evaluator
custom_hooks = [dict(type=EMAHook, momentum=1e-4, update_buffers=True), dict(type=LiveProgressHook)]
