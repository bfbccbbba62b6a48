"""Training that begins from a trained model: hooks."""

from collections.abc import Sequence

from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.nn.modules.batchnorm import _BatchNorm

from mixnet_dense.engine.runner import bare_model
from mixnet_dense.errors import InputError
from mixnet_dense.registry import HOOKS
from mixnet_dense.weights.transfer import fit_checkpoint


class FitCheckpointHook(Hook):
    """Replaces the weights of ``load_from`` by what of them fits the model, and logs what that is.

    Raises:
        InputError: see `transfer.fit_checkpoint`.
    """

    priority = "VERY_HIGH"  # other hooks see what the model loads

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        classes = runner.train_dataloader.dataset.metainfo.get("classes", ())
        name = f"load_from {runner.cfg.load_from}"
        try:
            state, line = fit_checkpoint(checkpoint, bare_model(runner.model), classes)
        except InputError as error:
            raise InputError(f"{name}: {error}") from error
        checkpoint["state_dict"] = state
        runner.logger.info(f"{name}: {line}")


@HOOKS.register_module()
class FixedNormHook(Hook):
    """Batch norm keeps its statistics while the rest trains; its weights and biases train too.

    Args:
        parts: of the model, such as ``'backbone'``; all by default.
    """

    def __init__(self, parts: Sequence[str] = ("",)):
        self.parts = tuple(parts)

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        for name, module in bare_model(runner.model).named_modules():
            if isinstance(module, _BatchNorm) and name.startswith(self.parts):
                module.eval()
