"""A training whose loss is no longer a number: stopped, or the step left out."""

import math
from collections.abc import Sequence

import torch
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mixnet_dense.errors import InputError, shorten


class LossHook(Hook):
    """Ends a training at the first loss that is NaN or infinite, before anything is saved.

    The loss is read from mmengine's message hub, which has fetched it from the device already.

    Args:
        skips: so many steps may be left out instead: their gradients change no weight.

    Raises:
        InputError: such a loss, with the step, the learning rate and the images; or weights
            that are no numbers are about to be saved.
    """

    def __init__(self, skips: int = 0):
        self._skips = skips

    def before_train(self, runner: Runner) -> None:
        if self._skips:
            _skip_bad_losses(runner.optim_wrapper)

    def after_train_iter(self, runner: Runner, batch_idx, data_batch=None, outputs=None) -> None:
        if "loss" not in (outputs or {}):
            return
        hub = runner.message_hub
        loss, rate = (hub.get_scalar(f"train/{name}").current() for name in ("loss", "lr"))
        if math.isfinite(loss):
            return
        images = [str(getattr(row, "img_path", "?")) for row in data_batch.get("data_samples", ())]
        runner.logger.error(f"the images of step {runner.iter + 1}: {', '.join(images)}")
        line = f"loss is {loss} at step {runner.iter + 1}, learning rate {rate:.4g}, images "
        line += shorten(images)
        skipped = hub.runtime_info.get("skipped_steps", 0) + 1
        if skipped > self._skips:
            left = f"; {self._skips} steps were left out before" if self._skips else ""
            raise InputError(line + left + "; set a smaller learning rate or check these images")
        hub.update_info("skipped_steps", skipped)
        runner.logger.warning(f"{line}; left out, {skipped} of at most {self._skips}")

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        wrong = not_finite(checkpoint["state_dict"])
        if wrong:
            step = checkpoint["meta"]["iter"]
            raise InputError(
                f"weights are NaN or infinite after step {step}: {shorten(wrong)}; not saved"
            )


def not_finite(state: dict[str, torch.Tensor]) -> Sequence[str]:
    """The names of the tensors with a value that is NaN or infinite."""
    return [name for name, value in state.items() if not torch.isfinite(value).all()]


def _skip_bad_losses(optim_wrapper) -> None:
    """No update from a loss that is not finite in any of the processes."""
    update = optim_wrapper.update_params

    def guarded(loss: torch.Tensor, *args, **options) -> None:
        finite = torch.isfinite(loss.detach()).float()
        all_reduce(finite, "min")  # the others would wait for this one's gradients
        if finite:
            update(loss, *args, **options)
        else:
            optim_wrapper.zero_grad()

    optim_wrapper.update_params = guarded
