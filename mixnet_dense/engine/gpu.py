"""What a training does on a GPU alone: nothing that the GPU must be waited for, larger kernels.

None of it was measured on a GPU yet; docs/scaling.md has what is known.
"""

import torch
from mmengine.config import Config
from mmengine.model import BaseDataPreprocessor
from torch import nn

_FUSED = ("SGD", "Adam", "AdamW", "Adagrad")  # torch's optimizers that can update in one kernel


def prepare_config(config: Config) -> None:
    """Set, in place, what the config leaves open: pinned memory, a fused optimizer."""
    if config.get("train_dataloader"):
        config.train_dataloader.setdefault("pin_memory", True)
    optimizer = (config.get("optim_wrapper") or {}).get("optimizer") or {}
    if optimizer.get("type") in _FUSED and not {"fused", "foreach"} & set(optimizer):
        optimizer.fused = True


def use_amp(config: Config, bfloat16: bool) -> None:
    """Mixed precision, in place: bfloat16 without loss scaling, or float16 with it.

    Args:
        config: its own ``dtype`` or ``loss_scale`` in ``optim_wrapper`` is kept.
        bfloat16: whether the card has it.
    """
    wrapper = config.optim_wrapper
    wrapper.type = "AmpOptimWrapper"
    if bfloat16 and not {"dtype", "loss_scale"} & set(wrapper):
        wrapper.update(dtype="bfloat16", loss_scale=dict(enabled=False))
    wrapper.setdefault("loss_scale", "dynamic")


def has_bfloat16() -> bool:
    """Whether the GPU computes in bfloat16 itself (compute capability 8.0 and newer)."""
    return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)


def without_waiting(model: nn.Module) -> nn.Module:
    """Have the model's data preprocessors copy to the device without waiting, in place.

    The images are copied as they are loaded, in uint8, and normalised on the device. mm's own
    exchange of channels copies a list of indices, for each image.
    """
    for module in model.modules():
        if isinstance(module, BaseDataPreprocessor):
            module._non_blocking = True
            for name in ("_channel_conversion", "channel_conversion"):  # mmengine's; mmseg 1.2's
                if getattr(module, name, False):
                    setattr(module, name, False)
                    module.register_forward_pre_hook(_flip_channels)
    return model


def _flip_channels(module: BaseDataPreprocessor, arguments: tuple) -> tuple:
    data = module.cast_data(arguments[0])
    images = data["inputs"]  # a list of (3, H, W), or (N, 3, H, W)
    whole = isinstance(images, torch.Tensor)
    data["inputs"] = images.flip(1) if whole else [image.flip(0) for image in images]
    return (data, *arguments[1:])
