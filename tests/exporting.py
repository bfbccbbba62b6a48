"""Checkpoints and images that the tests of exported files share."""

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from running import tool

from mixnet_dense.export.formats import format_of
from mixnet_dense.registry import MODELS

DETECTOR, SEGMENTER = "configs/ssdlite_mobilenetv3_small.py", "configs/lraspp_mobilenetv3_small.py"


def checkpoint(config: str, path) -> str:
    """Weights nobody trained, whose batch norms matter, saved as mmengine would."""
    config = Config.fromfile(config)
    init_default_scope(config.default_scope)
    torch.manual_seed(0)
    model = MODELS.build(config.model)
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d):  # what goes in must come out
            torch.nn.init.kaiming_normal_(module.weight)
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, -0.3, 0.3)
    head = model.bbox_head if hasattr(model, "bbox_head") else model.decode_head
    classes = tuple(f"class {index}" for index in range(head.num_classes))
    palette = [(index, 0, 255 - index) for index in range(head.num_classes)]
    meta = dict(dataset_meta=dict(classes=classes, palette=palette))
    torch.save(dict(state_dict=model.state_dict(), meta=meta), path)
    return str(path)


def write_files(folder):
    """``detector.pth``, ``segmenter.pth`` and ``images/``: smooth colours of a few sizes."""
    random = np.random.default_rng(0)
    (folder / "images").mkdir()
    for index, (height, width) in enumerate([(90, 120), (128, 100), (64, 64)]):
        image = cv2.resize(random.integers(0, 255, (6, 8, 3), dtype=np.uint8), (width, height))
        cv2.imwrite(str(folder / "images" / f"{index}.png"), image)
    checkpoint(DETECTOR, folder / "detector.pth")
    checkpoint(SEGMENTER, folder / "segmenter.pth")
    return folder


def export(files, kind, out, *arguments):
    """Run tools/export.py for ``'detector'`` or ``'segmenter'``."""
    config = DETECTOR if kind == "detector" else SEGMENTER
    tool("export")(
        config, files / f"{kind}.pth", "--out", out, "--format", format_of(str(out)),
        "--images", files / "images", *arguments,
    )  # fmt: skip


def images(files) -> list[np.ndarray]:
    return [cv2.imread(str(path)) for path in sorted((files / "images").iterdir())]
