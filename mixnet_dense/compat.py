"""The only place that changes what a host library does.

It repairs two things, speeds up a third and keeps two messages away:

* mmdet and mmseg import ``mmcv.ops``, which needs the compiled module ``mmcv._ext``.
  ``import mixnet_dense`` offers a replacement, which is used only if that module is
  absent. Its ``nms`` gives the results of the compiled operator; every other operator
  raises when it is called.
* mmengine 0.10.7 cannot load its own checkpoints with torch >= 2.6, and the OneDL build
  silently falls back to unpickling arbitrary code. `mixnet_dense.det`, ``seg`` and
  ``engine`` make mmengine load checkpoints as `mixnet_dense.checkpoints` does.
  `restricted_loading` does the same for a library's download, as long as that takes.
* mmdet's CocoMetric scores with pycocotools. `fast_coco_evaluation` lets it score with
  faster-coco-eval, as long as an evaluation takes.
* OneDL's builds print a line for each optional package of theirs that is not installed.
  After ``import mixnet_dense`` they do not.
"""

import functools
import importlib.machinery
import logging
import sys
import warnings
from contextlib import contextmanager
from importlib.util import find_spec

from mixnet_dense import checkpoints
from mixnet_dense.errors import InputError, first_line

_EXTENSION = "mmcv._ext"


# --------------------------------------------------------------- mmcv._ext


def offer_mmcv_ops() -> None:
    """Offer the replacement of ``mmcv._ext`` to imports that find no real one. Idempotent."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())


class _Finder:
    """The last import finder: it is asked for modules that are not there, and then only."""

    def find_spec(self, name: str, path=None, target=None):
        _keep_quiet()
        return importlib.machinery.ModuleSpec(name, self) if name == _EXTENSION else None

    def create_module(self, spec) -> None:
        """Python makes an empty module."""

    def exec_module(self, module) -> None:
        logging.getLogger("mixnet_dense").info(
            "mmcv has no compiled operators: only nms works, the others raise when called"
        )
        module.nms, module.__getattr__ = nms, _operator


def _operator(name: str):
    """Any operator of ``mmcv._ext`` other than ``nms``: it raises when it is called."""
    if name.startswith("__"):
        raise AttributeError(name)

    def needs_compiled(*_args, **_kwargs):
        raise RuntimeError(
            f"mmcv operator '{name}' needs a compiled mmcv; this one was installed "
            "without its compiled operators (only nms works without them)"
        )

    return needs_compiled


def nms(bboxes, scores, iou_threshold: float, offset: int):
    """Greedy non-maximum suppression, as mmcv's compiled operator defines it.

    Boxes are visited by decreasing score (equal scores in their given order). A box is
    dropped if its IoU with an earlier kept box is greater than the threshold.

    Args:
        bboxes: Tensor (n, 4) of corners ``x1, y1, x2, y2`` in pixels.
        scores: Tensor (n,).
        iou_threshold: in [0, 1].
        offset: 0, or 1 to count widths as ``x2 - x1 + 1``.

    Returns:
        int64 tensor (kept,) of indices into ``bboxes`` by decreasing score.
    """
    import torch

    order = scores.argsort(descending=True, stable=True)
    corners = bboxes.detach()[order].to("cpu", torch.float32).numpy()
    kept = _greedy(corners, iou_threshold, offset)
    return order[torch.from_numpy(kept).to(order.device)]


def _greedy(corners, iou_threshold: float, offset: int):
    """Indices of the boxes that survive, of boxes (n, 4) sorted by decreasing score."""
    import numpy as np

    x1, y1, x2, y2 = corners.T
    areas = (x2 - x1 + offset) * (y2 - y1 + offset)
    alive = np.arange(len(corners))
    kept = []
    while alive.size:
        best, alive = alive[0], alive[1:]
        kept.append(best)
        width = np.minimum(x2[best], x2[alive]) - np.maximum(x1[best], x1[alive]) + offset
        height = np.minimum(y2[best], y2[alive]) - np.maximum(y1[best], y1[alive]) + offset
        overlap = width.clip(0) * height.clip(0)
        with np.errstate(divide="ignore", invalid="ignore"):  # two boxes without area: NaN
            iou = overlap / (areas[best] + areas[alive] - overlap)
        alive = alive[~(iou > np.float32(iou_threshold))]
    return np.asarray(kept, dtype=np.int64)


# ---------------------------------------------------------------- messages


def _keep_quiet() -> None:
    """Keep away what OneDL's builds say about packages that they do not find. Idempotent."""
    logger = sys.modules.get("mmengine.logging.logger")
    if logger and not hasattr(logger, "print"):
        logger.print = _print_others  # in place of the builtin, in that module only
        warnings.filterwarnings("ignore", "faster_coco_eval is not installed")


def _print_others(message) -> None:
    if "Could not import OneDL" not in str(message):
        print(message)


# ---------------------------------------------------------- COCO evaluation


@contextmanager
def fast_coco_evaluation(coco_metric):
    """Within the block mmdet's CocoMetric scores with faster-coco-eval, where it is installed.

    ``coco_metric`` is the module of that class: importing it here would make all depend on mmdet.
    """
    if find_spec("faster_coco_eval") is None:
        yield
        return
    from faster_coco_eval import COCOeval_faster

    original = coco_metric.COCOeval
    coco_metric.COCOeval = COCOeval_faster
    try:
        yield
    finally:
        coco_metric.COCOeval = original


# ------------------------------------------------------------- checkpoints


@contextmanager
def restricted_loading():
    """Every ``torch.load`` within the block uses the allow-list of `checkpoints.load_file`."""
    import torch

    unrestricted = torch.load
    torch.load = checkpoints.restricted(unrestricted)
    try:
        yield
    finally:
        torch.load = unrestricted


def guard_checkpoint_loading() -> None:
    """Make mmengine load every checkpoint, local or remote, as data only. Idempotent."""
    from mmengine.runner.checkpoint import CheckpointLoader

    original = CheckpointLoader.load_checkpoint.__func__
    if hasattr(original, "__wrapped__"):
        return

    @functools.wraps(original)
    def load_checkpoint(cls, filename, map_location=None, logger="current"):
        if str(filename).endswith(".safetensors"):
            if "://" in str(filename):
                raise InputError(f"checkpoint '{filename}': must be a local file")
            return dict(zip(("state_dict", "meta"), checkpoints.read(filename), strict=True))
        try:
            with restricted_loading():
                found = original(cls, filename, map_location, logger)
        except FileNotFoundError as error:
            raise InputError(f"checkpoint '{filename}': no such file") from error
        except OSError as error:  # an address that is refused
            raise InputError(f"checkpoint '{filename}': {first_line(error)}") from error
        return checkpoints.without_code(found)

    CheckpointLoader.load_checkpoint = classmethod(load_checkpoint)
