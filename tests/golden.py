"""Drawn weights and images, and the recorded outputs of other libraries' models under them.

``tests/data/README.md`` says what is recorded and how to record it again. Drawn weights
magnify rounding (in float32 two processors differ by up to 10 % on small maps), so models
are compared in float64, where the libraries agree to about 1e-11.
"""

import functools
import json
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import nn

DATA = Path(__file__).parent / "data"
TOLERANCE = 1e-9  # of `relative_error` between two float64 results


def weight(key: str, shape) -> torch.Tensor:
    """The value of a state-dict key: drawn in float64 from the key's name, cast to float32."""
    if key.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.long)
    rng = np.random.default_rng(zlib.crc32(key.encode()))
    if key.endswith("running_var") or (key.endswith("weight") and len(shape) == 1):
        value = rng.uniform(0.5, 1.5, shape)
    elif len(shape) >= 2:
        value = rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
    else:
        value = 0.1 * rng.standard_normal(shape)
    return torch.from_numpy(np.asarray(value, dtype=np.float32))


def image(shape) -> torch.Tensor:
    """Standard normal values, drawn in float64 and cast to float32."""
    values = np.random.default_rng(0).standard_normal(shape)
    return torch.from_numpy(values.astype(np.float32))


def fill(model: nn.Module) -> nn.Module:
    """Give a model drawn weights, float64 and evaluation mode."""
    state = model.state_dict()
    return loaded(model, {key: weight(key, value.shape) for key, value in state.items()})


def loaded(model: nn.Module, state: dict[str, torch.Tensor]) -> nn.Module:
    """Give a model these weights, float64 and evaluation mode."""
    model.load_state_dict(state)
    model.eval()  # returns nothing in mmdet's backbones
    return model.double()


@functools.cache
def record(name: str) -> dict:
    """A recorded model: its JSON file, with the recorded tensors as ``outputs``."""
    found = json.loads((DATA / f"{name}.json").read_text())
    with np.load(DATA / f"{name}.npz") as arrays:
        outputs = {key: torch.from_numpy(arrays[key]) for key in arrays.files}
    return {**found, "outputs": outputs}


@functools.cache
def _drawn(name: str) -> dict[str, torch.Tensor]:
    return {key: weight(key, shape) for key, shape in record(name)["keys"]}


def state_dict(name: str) -> dict[str, torch.Tensor]:
    """The drawn weights of a recorded model, in float32. Do not write into the tensors."""
    return dict(_drawn(name))


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    """The largest difference over the largest expected magnitude."""
    return float((found - expected).abs().max() / expected.abs().max())
