"""Deterministic weights and the recorded outputs of other libraries.

``tests/data`` holds, per model, the library and version, the state dict's keys and
shapes, the input's shape and the outputs.
"""

import json
import zlib
from pathlib import Path

import numpy as np
import torch

DATA = Path(__file__).parent / "data"


def weight(key: str, shape) -> torch.Tensor:
    """The value that the recordings give to a state-dict key."""
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


def record(name: str) -> dict:
    """``keys``, ``input`` and outputs of a recorded model."""
    found = json.loads((DATA / f"{name}.json").read_text())
    with np.load(DATA / f"{name}.npz") as arrays:
        outputs = {key: torch.from_numpy(arrays[key]) for key in arrays.files}
    return {**found, "outputs": outputs}


def state_dict(name: str) -> dict[str, torch.Tensor]:
    return {key: weight(key, shape) for key, shape in record(name)["keys"]}


def image(shape) -> torch.Tensor:
    values = np.random.default_rng(0).standard_normal(shape)
    return torch.from_numpy(values.astype(np.float32))


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max())
