"""The only place that patches a host library.

Two things are mended, both on ``import mixnet_dense`` and its registry:

* mmdet and mmseg import ``mmcv.ops``, which needs the compiled module
  ``mmcv._ext``. Where that is absent a stand-in takes its place: ``nms`` is real
  (same results as the compiled operator), every other operator raises when
  called.
* mmengine 0.10.7 cannot load its own checkpoints with torch >= 2.6, and the
  OneDL build silently falls back to unpickling arbitrary code. Here every
  checkpoint is loaded with ``weights_only=True`` and a short allow-list, unless
  `trust_checkpoints` was called.
"""

import functools
import importlib.machinery
import importlib.util
import struct
import sys
import types
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError

from mixnet_dense.cli import InputError

_trusted = False


# --------------------------------------------------------------- mmcv._ext


def provide_mmcv_ops() -> bool:
    """Register the stand-in for ``mmcv._ext`` if mmcv lacks its compiled operators.

    Returns:
        True if the stand-in is in place, False if mmcv is absent or compiled.
    """
    present = sys.modules.get("mmcv._ext")
    if present is not None:
        return isinstance(present, _StandIn)
    mmcv = importlib.util.find_spec("mmcv")
    if mmcv is None or _has_compiled_ops(mmcv):
        return False
    sys.modules["mmcv._ext"] = _StandIn()
    return True


def _has_compiled_ops(mmcv: importlib.machinery.ModuleSpec) -> bool:
    return (
        importlib.machinery.PathFinder.find_spec("_ext", mmcv.submodule_search_locations)
        is not None
    )


class _StandIn(types.ModuleType):
    """A module with a working ``nms``; any other operator raises when called."""

    def __init__(self) -> None:
        super().__init__("mmcv._ext", "Stand-in for mmcv's compiled operators.")
        self.__spec__ = importlib.machinery.ModuleSpec("mmcv._ext", loader=None)
        self.nms = nms

    def __getattr__(self, name: str):
        if name.startswith("__"):
            raise AttributeError(name)

        def needs_compiled(*_args, **_kwargs):
            raise RuntimeError(
                f"mmcv operator '{name}' needs a compiled mmcv; this one was installed "
                "without its compiled operators (only nms works without them)"
            )

        return needs_compiled


def nms(bboxes, scores, iou_threshold: float, offset: int):
    """Greedy non-maximum suppression, the definition of mmcv's compiled operator.

    Boxes are visited by falling score (equal scores in their given order); a box
    whose IoU with an earlier kept box is greater than the threshold is dropped.

    Args:
        bboxes: Tensor (n, 4) of corners ``x1, y1, x2, y2`` in pixels.
        scores: Tensor (n,).
        iou_threshold: in [0, 1].
        offset: 0, or 1 to count widths as ``x2 - x1 + 1``.

    Returns:
        int64 tensor (kept,) of indices into ``bboxes`` by falling score.
    """
    import torch

    order = scores.argsort(descending=True, stable=True)
    corners = bboxes.detach()[order].to("cpu", torch.float32).numpy()
    kept = _greedy(corners, iou_threshold, offset)
    return order[torch.from_numpy(kept).to(order.device)]


def _greedy(corners, iou_threshold: float, offset: int):
    """Indices of the boxes (n, 4), sorted by falling score, that survive."""
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


# ------------------------------------------------------------- checkpoints


def trust_checkpoints() -> None:
    """Allow checkpoints to run code while they load. Only for files you trust."""
    global _trusted
    _trusted = True


def load_file(path, map_location="cpu"):
    """Load one checkpoint file of tensors and plain values, without running code.

    Args:
        path: a file written by ``torch.save``.
        map_location: as `torch.load`.

    Raises:
        InputError: the file is missing, broken, or holds anything beyond tensors,
            plain values and mmengine's own log buffers.
    """
    if not Path(path).expanduser().is_file():
        raise InputError(f"checkpoint '{path}': no such file")
    import torch

    return _restricted(torch.load)(str(Path(path).expanduser()), map_location=map_location)


@contextmanager
def restricted_loading():
    """Whoever calls ``torch.load`` within the block gets `load_file`'s allow-list."""
    import torch

    unrestricted = torch.load
    torch.load = _restricted(unrestricted)
    try:
        yield
    finally:
        torch.load = unrestricted


def guard_checkpoint_loading() -> None:
    """Make every mmengine checkpoint scheme load through the allow-list. Idempotent."""
    from mmengine.runner.checkpoint import CheckpointLoader

    original = CheckpointLoader.load_checkpoint.__func__
    if hasattr(original, "__wrapped__"):
        return

    @functools.wraps(original)
    def load_checkpoint(cls, filename, map_location=None, logger="current"):
        if str(filename).endswith(".safetensors"):
            if "://" in str(filename):
                raise InputError(f"checkpoint '{filename}': must be a local file")
            from mixnet_dense.weights.files import read

            return dict(zip(("state_dict", "meta"), read(filename), strict=True))
        try:
            with restricted_loading():
                checkpoint = original(cls, filename, map_location, logger)
        except FileNotFoundError as error:
            raise InputError(f"checkpoint '{filename}': no such file") from error
        return checkpoint if _trusted else _without_code(checkpoint)

    CheckpointLoader.load_checkpoint = classmethod(load_checkpoint)


def register_weight_sources() -> None:
    """Make ``timm://NAME`` and ``tv://NAME`` checkpoints for mmengine; see `weights.hub`."""
    from mmengine.runner.checkpoint import CheckpointLoader

    def load(filename, map_location=None):
        from mixnet_dense.weights.hub import load

        return load(filename, map_location)

    CheckpointLoader.register_scheme(prefixes=("timm://", "tv://"), loader=load, force=True)


def _without_code(checkpoint):
    """Drop the config text: on resume mmengine would execute it as Python."""
    if isinstance(checkpoint, dict) and isinstance(checkpoint.get("meta"), dict):
        checkpoint["meta"].pop("config", None)
    return checkpoint


def _restricted(torch_load):
    """``torch.load`` that ignores the caller's ``weights_only`` and never runs code."""

    def load(file, map_location=None, *_args, **_kwargs):
        import torch

        if _trusted:
            return torch_load(file, map_location=map_location, weights_only=False)
        try:
            try:
                allowed = _plain_values()
                if "mmengine" in sys.modules:
                    allowed += _log_buffers()
                with torch.serialization.safe_globals(allowed):
                    return torch_load(file, map_location=map_location, weights_only=True)
            except UnpicklingError as error:
                # mmengine takes seconds to import: only for its own checkpoints.
                if "mmengine." not in str(error) or not importlib.util.find_spec("mmengine"):
                    raise
            with torch.serialization.safe_globals(_plain_values() + _log_buffers()):
                return torch_load(file, map_location=map_location, weights_only=True)
        except UnpicklingError as error:
            raise InputError(f"checkpoint '{file}': {_explain(error)}") from error
        except _BROKEN as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise InputError(f"checkpoint '{file}' is not readable: {reason}") from error

    return load


# What unpickling bytes that are no checkpoint may raise.
_BROKEN = (
    RuntimeError,
    EOFError,
    ValueError,
    LookupError,
    AttributeError,
    TypeError,
    AssertionError,
    OSError,
    struct.error,
)


def _explain(error: UnpicklingError) -> str:
    found = str(error).partition("Unsupported global: GLOBAL ")[2].split(" ")[0]
    if found:
        return (
            f"holds '{found}', which could run code; allowed are tensors and plain values "
            "(--trust-checkpoint loads it all the same)"
        )
    return "is not a checkpoint of tensors and plain values"


def _plain_values() -> list:
    """numpy's arrays and numbers, which mmengine writes beside tensors."""
    import numpy as np

    scalar, (reconstruct, *_) = np.float64(0).__reduce__()[0], np.empty(0).__reduce__()
    allowed = [np.ndarray, np.dtype]
    allowed += [type(np.dtype(kind)) for kind in ("f4", "f8", "i4", "i8", "u4", "u8", "?")]
    for module in ("numpy.core.multiarray", "numpy._core.multiarray"):  # numpy 1 and 2
        allowed += [(scalar, f"{module}.scalar"), (reconstruct, f"{module}._reconstruct")]
    return allowed


def _log_buffers() -> list:
    """mmengine's own log buffers, in its checkpoints."""
    from mmengine.logging.history_buffer import HistoryBuffer

    return [HistoryBuffer, (_history_method, "builtins.getattr")]


def _history_method(owner: type, name: str):
    """The one use of ``getattr`` in mmengine's checkpoints: its buffers' statistics."""
    from mmengine.logging.history_buffer import HistoryBuffer

    if owner is not HistoryBuffer or name not in ("min", "max", "mean", "current"):
        raise UnpicklingError(f"Unsupported global: GLOBAL getattr({owner}, {name})")
    return getattr(HistoryBuffer, name)
