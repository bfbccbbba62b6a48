"""Load our own checkpoints into our own models; all keys must fit."""

import zipfile
from pathlib import Path

from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from torch import nn

from mixnet_dense.checkpoints import load_file, read
from mixnet_dense.errors import InputError
from mixnet_dense.registry import MODELS
from mixnet_dense.weights.assume import warn_mismatches
from mixnet_dense.weights.conversion import faults
from mixnet_dense.weights.published import local


def load_model(config: Config, checkpoint: str) -> nn.Module:
    """The config's detector or segmenter with a checkpoint's weights, ready to predict.

    It is in evaluation mode, on the GPU if there is one. Its ``dataset_meta`` has the class
    names and ``cfg`` is the config, as mm's own functions for inference need it. If the
    config differs from what converted weights assume, a warning is logged.

    Raises:
        InputError: see `load_weights`; or the checkpoint has no class names.
    """
    init_default_scope(config.get("default_scope", "mmdet"))
    model = MODELS.build(config.model)
    meta = load_weights(model, checkpoint)
    warn_mismatches(config, meta, MMLogger.get_current_instance())
    model.dataset_meta, model.cfg = meta.get("dataset_meta") or {}, config
    if "classes" not in model.dataset_meta:
        raise InputError(f"checkpoint '{checkpoint}': has no class names (meta.dataset_meta)")
    return model.to(get_device()).eval()


def load_weights(model: nn.Module, path: str) -> dict:
    """Load a checkpoint that mmengine wrote into the model for which it was written.

    Args:
        model: as the config builds it.
        path: the checkpoint, a work dir for its newest complete checkpoint, or
            ``published://NAME``.

    Returns:
        The checkpoint's ``meta``: epoch, class names (``dataset_meta``).

    Raises:
        InputError: the file is missing, is not a checkpoint, or is of another model. Then keys
            that are missing, unknown or of another shape are counted and the first is named.
    """
    if Path(path).is_dir():
        found = latest_checkpoint(path)
        if found is None:
            raise InputError(f"checkpoint '{path}': no complete epoch_N.pth or iter_N.pth there")
        path = found
    state, meta = read(local(path))
    own = model.state_dict()
    wrong = faults(
        [key for key in own if key not in state],
        [key for key in state if key not in own],
        [
            f"{key} {tuple(state[key].shape)} for {tuple(own[key].shape)}"
            for key in own
            if key in state and state[key].shape != own[key].shape
        ],
    )
    if wrong:
        raise InputError(f"checkpoint '{path}' is of another model: {wrong}")
    model.load_state_dict(state)
    return meta


def latest_checkpoint(work_dir: str) -> str | None:
    """The newest complete checkpoint of a folder, None if there is none.

    A file that was not written to its end has no zip directory there. It is skipped, even if
    mmengine's ``last_checkpoint`` names it.
    """
    return next(filter(zipfile.is_zipfile, _newest_first(work_dir)), None)


def readable_checkpoint(work_dir: str) -> tuple[str | None, dict]:
    """As `latest_checkpoint`, but read to its end, and its content.

    Of newer ones that cannot be read a line is printed. Without any: None and {}.
    """
    for path in _newest_first(work_dir):
        try:
            return path, load_file(path)
        except InputError as error:
            print(f"{error}; passed over for an older one")
    return None, {}


def _newest_first(work_dir: str) -> list[str]:
    found = []
    for path in Path(work_dir).glob("*.pth"):
        kind, _, number = path.stem.rpartition("_")
        if kind in ("epoch", "iter") and number.isdigit():
            found.append((path.stat().st_mtime, int(number), str(path)))
    return [path for *_, path in sorted(found, reverse=True)]
