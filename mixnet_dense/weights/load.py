"""Our own checkpoints into our own models, whole or not at all."""

from collections.abc import Sequence

from torch import nn

from mixnet_dense.cli import InputError
from mixnet_dense.compat import load_file


def load_weights(model: nn.Module, path: str) -> dict:
    """Load a checkpoint that mmengine wrote into the model it was written for.

    Args:
        model: as the config builds it.
        path: the checkpoint.

    Returns:
        The checkpoint's ``meta``: epoch, class names (``dataset_meta``).

    Raises:
        InputError: no such file, not a checkpoint, or one of another model: missing,
            unknown or misshapen keys are counted and the first is named.
    """
    checkpoint = load_file(path)
    if not isinstance(checkpoint, dict):
        raise InputError(f"checkpoint '{path}': holds a {type(checkpoint).__name__}, not weights")
    state = checkpoint.get("state_dict", checkpoint)
    state = {key.removeprefix("module."): value for key, value in state.items()}
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
    return checkpoint.get("meta", {})


def _fault(kind: str, keys: Sequence[str]) -> str:
    return f"{len(keys)} keys {kind} (first: {keys[0]})" if keys else ""
