"""Load our own checkpoints into our own models; all keys must fit."""

import zipfile
from collections.abc import Mapping
from pathlib import Path

from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from torch import nn

from mixnet_dense.checkpoints import load_file, read, unpack
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
    model.dataset_meta, model.cfg = _described(checkpoint, meta), config
    head = getattr(model, "bbox_head", None) or getattr(model, "decode_head", None)
    count, classes = getattr(head, "num_classes", None), model.dataset_meta["classes"]
    if count not in (None, len(classes)):
        raise InputError(
            f"checkpoint '{checkpoint}': has {len(classes)} class names, the model {count}"
        )
    return model.to(get_device()).eval()


def _described(checkpoint: str, meta: Mapping) -> Mapping:
    """The ``dataset_meta`` of a checkpoint: class names, perhaps a palette.

    Raises:
        InputError: it has no list of names, or a palette that is no list of colours.
    """
    found = meta.get("dataset_meta")
    classes = found.get("classes") if isinstance(found, Mapping) else None
    if not isinstance(classes, (list, tuple)) or not all(isinstance(c, str) for c in classes):
        raise InputError(f"checkpoint '{checkpoint}': has no class names (meta.dataset_meta)")
    palette = found.get("palette")
    if palette is not None and not isinstance(palette, (list, tuple, str)):
        raise InputError(f"checkpoint '{checkpoint}': its palette is no list of colours")
    return found


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
    check_fits(path, state, model.state_dict())
    model.load_state_dict(state)
    return meta


def check_resumable(path: str, state: Mapping) -> None:
    """Check that a training can go on from a checkpoint that mmengine wrote.

    Args:
        path: the checkpoint.
        state: the state dict of the model to train.

    Raises:
        InputError: as `read`; the checkpoint has no optimizer, epoch or step; or it is of another
            model.
    """
    content, wanted = load_file(path), []
    weights, _ = unpack(path, content)
    meta = content.get("meta")
    if not isinstance(meta, dict):
        wanted.append("meta")
    else:
        wanted += [f"meta.{k}" for k in ("epoch", "iter") if not isinstance(meta.get(k), int)]
    wanted += [k for k in ("optimizer",) if not isinstance(content.get(k), dict)]
    if wanted:
        raise InputError(f"checkpoint '{path}' cannot be resumed: has no {wanted[0]}")
    check_fits(path, weights, state)


def check_fits(path: str, weights: Mapping, state: Mapping) -> None:
    """Check that a checkpoint's weights have the keys and shapes of a model's and are finite.

    Raises:
        InputError: keys that are missing, unknown or of another shape are counted and the first
            is named; or a weight is NaN or infinite.
    """
    wrong = faults(
        [key for key in state if key not in weights],
        [key for key in weights if key not in state],
        [
            f"{key} {tuple(weights[key].shape)} for {tuple(state[key].shape)}"
            for key in state
            if key in weights and weights[key].shape != state[key].shape
        ],
    )
    if wrong:
        raise InputError(f"checkpoint '{path}' is of another model: {wrong}")
    for key, value in weights.items():
        if not value.isfinite().all():
            raise InputError(f"checkpoint '{path}': weight '{key}' has NaN or infinite values")


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
