"""What the recorders share: importing torchvision, ``--out``, and writing a recording.

``tests/data/README.md`` says what has to be installed and how the recorders are run.
"""

import argparse
import json
from pathlib import Path

import golden
import numpy as np
import torch


def import_torchvision():
    """torchvision, whether or not its compiled operators can be loaded.

    Those of a CUDA build cannot under a CPU build of torch, and the import fails because two
    of them are unknown. The recorded models call none: it is enough to declare the two.
    """
    try:
        import torchvision
    except RuntimeError:
        for name in ("nms", "qnms"):
            signature = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            torch.library.define(f"torchvision::{name}", signature)
        import torchvision
    return torchvision


def output_folder(description: str, argv=None) -> Path:
    """``--out`` of a recorder's command line, made where it is missing."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--out", type=Path, default=golden.DATA, help="default: tests/data")
    folder = parser.parse_args(argv).out
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def write(folder: Path, library, model: str, network, shape, outputs, facts=None) -> None:
    """Write ``LIBRARY_MODEL.json`` and ``.npz``, and print the distance from ``tests/data``.

    Args:
        library: timm or torchvision, the module.
        model: its name there.
        network: the model, for its state dict's keys and shapes.
        shape: of the input.
        outputs: name to float64 tensor.
        facts: further entries of the JSON file.
    """
    name = f"{library.__name__}_{model}"
    version = library.__version__.partition("+")[0]  # without the build, such as +cpu
    keys = [[key, list(value.shape)] for key, value in network.state_dict().items()]
    head = dict(model=model, library=f"{library.__name__} {version}", input=list(shape), keys=keys)
    distances = [f"{key} {_distance(name, key, value)}" for key, value in outputs.items()]
    (folder / f"{name}.json").write_text(json.dumps({**head, **(facts or {})}))
    arrays = {key: np.ascontiguousarray(value.numpy()) for key, value in outputs.items()}
    np.savez_compressed(folder / f"{name}.npz", **arrays)
    print(name, ", ".join(distances), sep=": ")


def _distance(name: str, key: str, value: torch.Tensor) -> str:
    """From the recording of before, if there is one."""
    if not (golden.DATA / f"{name}.npz").is_file():
        return "new"
    before = golden.record(name)["outputs"].get(key)
    return "new" if before is None else f"{golden.relative_error(value, before):.1e}"
