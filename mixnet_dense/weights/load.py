"""Our own checkpoints into our own models, whole or not at all."""

import zipfile
from collections.abc import Sequence
from pathlib import Path

from torch import nn

from mixnet_dense.checkpoints import read
from mixnet_dense.errors import InputError


def load_weights(model: nn.Module, path: str) -> dict:
    """Load a checkpoint that mmengine wrote into the model it was written for.

    Args:
        model: as the config builds it.
        path: the checkpoint, or a work dir for the newest complete one in it.

    Returns:
        The checkpoint's ``meta``: epoch, class names (``dataset_meta``).

    Raises:
        InputError: no such file, not a checkpoint, or one of another model: missing,
            unknown or misshapen keys are counted and the first is named.
    """
    if Path(path).is_dir():
        found = latest_checkpoint(path)
        if found is None:
            raise InputError(f"checkpoint '{path}': no complete epoch_N.pth or iter_N.pth there")
        path = found
    state, meta = read(path)
    own = model.state_dict()
    faults = [
        _fault("missing", [key for key in own if key not in state]),
        _fault("unknown", [key for key in state if key not in own]),
        _fault(
            "of another shape",
            [
                f"{key} {tuple(getattr(state[key], 'shape', ()))} for {tuple(own[key].shape)}"
                for key in own
                if key in state and getattr(state[key], "shape", None) != own[key].shape
            ],
        ),
    ]
    faults = [fault for fault in faults if fault]
    if faults:
        raise InputError(f"checkpoint '{path}' is of another model: {'; '.join(faults)}")
    model.load_state_dict(state)
    return meta


def _fault(kind: str, keys: Sequence[str]) -> str:
    return f"{len(keys)} keys {kind} (first: {keys[0]})" if keys else ""


def latest_checkpoint(work_dir: str) -> str | None:
    """The newest complete checkpoint of a folder, None if there is none.

    A file cut short while it was written has no zip directory at its end and is passed
    over, whatever mmengine's ``last_checkpoint`` file says.
    """
    found = []
    for path in Path(work_dir).glob("*.pth"):
        kind, _, number = path.stem.rpartition("_")
        if kind in ("epoch", "iter") and number.isdigit() and zipfile.is_zipfile(path):
            found.append((path.stat().st_mtime, int(number), str(path)))
    return max(found)[-1] if found else None
