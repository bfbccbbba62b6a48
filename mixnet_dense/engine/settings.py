"""Checks of a config's values, before anything is built or read."""

import difflib
import inspect
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from importlib import import_module
from numbers import Real
from pathlib import Path
from typing import NamedTuple

from mmengine.config import Config
from mmengine.config.utils import MODULE2PACKAGE
from mmengine.hooks import CheckpointHook
from mmengine.registry import OPTIMIZERS, WEIGHT_INITIALIZERS
from mmengine.runner import Runner

from mixnet_dense.errors import InputError, first_line
from mixnet_dense.export.description import SUPPRESSIONS

SPLITS = ("train", "val", "test")
_LOADERS = tuple(f"{split}_dataloader" for split in SPLITS)
# Top-level names that something reads, besides the runner's, and usual ones of mm's configs.
_NAMES = {"auto_scale_lr", "custom_imports", "env_cfg", "find_unused_parameters", "tta_model",
          "tta_pipeline", "slide_test_cfg", "submission_data_prefix", "model_wrapper_cfg",
          "sync_bn", "train_pipeline", "val_pipeline", "test_pipeline", "dist_params"}  # fmt: skip
NAMES = _NAMES | inspect.signature(Runner).parameters.keys()
"""What a config may have at its top; other names are variables of the config's own."""

_MISSPELT = 0.85  # similarity from which a name is taken for a misspelt one
_MOST_PIXELS = 2**28  # of an image after a Resize


class Range(NamedTuple):
    """``kind``: of the number; ``words`` say what is allowed."""

    kind: type
    low: float
    high: float
    words: str

    def holds(self, value) -> bool:
        right = isinstance(value, self.kind) and not isinstance(value, bool)
        return right and self.low <= value <= self.high


_WHOLE = Range(int, 1, math.inf, "a whole number from 1 on")
_COUNT = Range(int, 0, math.inf, "a whole number from 0 on")
_SHARE = Range(Real, 0, 1, "a number from 0 to 1")
_FROM_0 = Range(Real, 0, 1e300, "a number from 0 on")
# By the part of a config: the numbers that it may have.
_NUMBERS = {
    "train_cfg": dict(max_epochs=_WHOLE, max_iters=_WHOLE, val_interval=_WHOLE),
    **dict.fromkeys(_LOADERS, dict(batch_size=_WHOLE, num_workers=_COUNT)),
    "optim_wrapper.optimizer": dict(lr=_FROM_0, weight_decay=_FROM_0, momentum=_SHARE),
    "default_hooks.logger": dict(interval=_WHOLE),
    "model.bbox_head": dict(num_classes=_WHOLE),
    "model.decode_head": dict(num_classes=_WHOLE),
    "model.test_cfg": dict(score_thr=_SHARE),
    "model.test_cfg.nms": dict(iou_threshold=_SHARE),
}


def check_settings(config: Config) -> None:
    """Check names and values that would change nothing, or end a run late.

    Raises:
        InputError: no model; a misspelt name; a number, size, suppression or list of classes that
            cannot be.
    """
    if not isinstance(config.get("model"), Mapping):
        raise InputError(
            f"config: has no model, found are {', '.join(sorted(config)) or 'no names'}"
        )
    _check_names(config)
    for path, numbers in _NUMBERS.items():
        part = _part(config, path)
        for name, allowed in numbers.items():
            if part.get(name) is not None and not allowed.holds(part[name]):
                raise InputError(f"config: {path}.{name}={part[name]}: must be {allowed.words}")
    for path in ("default_hooks.checkpoint", "model.test_cfg"):  # -1 means never, or all
        for name in ("interval", "max_per_img"):
            value = _part(config, path).get(name, 1)
            if value != -1 and not _WHOLE.holds(value):
                raise InputError(f"config: {path}.{name}={value}: must be {_WHOLE.words}, or -1")
    kind = _part(config, "model.test_cfg.nms").get("type", "nms")
    if kind not in SUPPRESSIONS:
        raise _unknown("model.test_cfg.nms.type", kind, SUPPRESSIONS)
    for loader in _LOADERS:
        for dataset in _with(config.get(loader), "metainfo"):
            _check_classes(loader, (dataset["metainfo"] or {}).get("classes") or ())
        for step in _with(config.get(loader), "scale"):
            if "Resize" in str(step.get("type")):
                _check_scale(loader, step)


def check_training(config: Config) -> None:
    """Check what only a training reads: weights to begin from, and when it saves.

    Raises:
        InputError: a checkpoint that is not there or not named; an unknown initialisation,
            argument of the checkpoint hook or metric that it shall watch.
    """
    for part in _with(config.model, "init_cfg"):
        rows = part["init_cfg"] or ()
        for row in rows if isinstance(rows, (list, tuple)) else [rows] if rows else ():
            kind = row.get("type") if isinstance(row, Mapping) else row
            if isinstance(kind, str) and WEIGHT_INITIALIZERS.get(kind) is None:
                raise _unknown("init_cfg.type", kind, tuple(WEIGHT_INITIALIZERS.module_dict))
            if kind == "Pretrained":
                _check_there("init_cfg.checkpoint", row.get("checkpoint"))
    if config.get("load_from") is not None and not config.get("resume"):
        _check_there("load_from", config.load_from)
    kind = _part(config, "optim_wrapper.optimizer").get("type")
    if isinstance(kind, str) and OPTIMIZERS.get(kind) is None:
        raise _unknown("optim_wrapper.optimizer.type", kind, tuple(OPTIMIZERS.module_dict))
    hook = _part(config, "default_hooks.checkpoint")
    if kind_of(hook) == "CheckpointHook":
        known = {"type", "priority"}
        for function in (CheckpointHook, Runner.save_checkpoint):
            known |= inspect.signature(function).parameters.keys()
        for name in hook:
            if name not in known:
                raise _unknown("default_hooks.checkpoint", name, sorted(known))
        _check_best(config, hook.get("save_best"))


def check_packages(config: Config) -> None:
    """Import what only some configs need: a host of its own, timm, torchvision's operators.

    Raises:
        InputError: it is not installed, lacks a package itself or refuses the installed mmcv.
    """
    wanted = {config.get("default_scope")}.intersection(MODULE2PACKAGE)
    for part in _with(config.model, "type"):
        wanted |= {"timm"} if kind_of(part) == "TIMMBackbone" else set()
        wanted |= {"torchvision"} if part.get("use_torchvision") else set()
    for name in sorted(wanted):
        try:
            import_module(name)
        except (ImportError, AssertionError) as error:
            raise InputError(f"config: needs {name}: {first_line(error)}") from error


def kind_of(part) -> str:
    """The last word of the ``type`` of a part of a config, of whichever scope; '' without one."""
    return str(part.get("type", "")).rpartition(".")[2] if isinstance(part, Mapping) else ""


# ------------------------------------------------------------------------ names


def _check_names(config: Config) -> None:
    for name in config:
        near = difflib.get_close_matches(name, NAMES, 1, _MISSPELT)
        longer = near and near[0] in name and len(name) > len(near[0]) + 1  # val_evaluator_of_mine
        if name not in NAMES and near and not longer:
            raise InputError(f"config: '{name}': unknown, the nearest is '{near[0]}'")


def check_places(config: Config, names: Collection[str]) -> None:
    """Check that the names which someone set at the top of a config do not belong below.

    Raises:
        InputError: a length of the training that is unlike ``train_cfg``'s.
    """
    own = _part(config, "train_cfg")
    for name in ("max_epochs", "max_iters", "val_interval"):
        if name in names and name in own and config[name] != own[name]:
            raise InputError(
                f"config: {name}={config[name]} changes nothing, train_cfg.{name} is {own[name]}"
            )


def _unknown(where: str, name: str, known: Sequence[str]) -> InputError:
    near = difflib.get_close_matches(str(name), known, 1, 0)
    return InputError(f"config: {where}: '{name}' is unknown, the nearest is '{near[0]}'")


def _part(config, path: str) -> Mapping:
    """The part of a config at a path such as ``model.test_cfg``, {} where there is none."""
    for name in path.split("."):
        config = config.get(name) if isinstance(config, (Config, Mapping)) else None
    return config if isinstance(config, Mapping) else {}


def _with(part, name: str) -> Iterator[Mapping]:
    """Every dictionary within a part of a config that has a name."""
    if isinstance(part, Mapping):
        if name in part:
            yield part
        part = tuple(part.values())
    if isinstance(part, (list, tuple)):
        for each in part:
            yield from _with(each, name)


# ----------------------------------------------------------------------- values


def _check_classes(loader: str, classes: Sequence[str]) -> None:
    if not isinstance(classes, (list, tuple)):
        raise InputError(f"config: {loader}: metainfo.classes={classes!r}: must be a list of names")
    for place, name in enumerate(classes):
        if name in classes[:place]:
            raise InputError(f"config: {loader}: the class name {name!r} is there twice")


def _check_scale(loader: str, step: Mapping) -> None:
    scale = step["scale"]
    pairs = scale if isinstance(scale, (list, tuple)) else (scale,)
    for pair in pairs if pairs and isinstance(pairs[0], (list, tuple)) else (pairs,):
        sides = pair if len(pair) == 2 else (*pair, *pair)
        good = len(sides) == 2 and all(_WHOLE.holds(side) for side in sides)
        if not good or (not step.get("keep_ratio") and math.prod(sides) > _MOST_PIXELS):
            raise InputError(
                f"config: {loader}: {step.get('type')} with scale={scale}: must be a width and a "
                f"height in pixels, of at most {_MOST_PIXELS} together"
            )


def _check_there(where: str, checkpoint) -> None:
    if not isinstance(checkpoint, str) or not checkpoint:
        raise InputError(f"config: {where}: must name a checkpoint, is {checkpoint!r}")
    if "://" not in checkpoint and not Path(checkpoint).expanduser().is_file():
        raise InputError(f"config: {where}: '{checkpoint}': no such file")


def _check_best(config: Config, wanted) -> None:
    """The metric that decides which checkpoint is the best must be one of the evaluator's."""
    metric = config.get("val_evaluator")
    known = {
        "CocoMetric": [f"coco/bbox_mAP{end}" for end in ("", "_50", "_75", "_s", "_m", "_l")],
        "IoUMetric": ["mIoU", "aAcc", "mAcc"],
    }.get(kind_of(metric))
    usual = (metric or {}).get("metric", "bbox") == "bbox" if known else False
    names = [wanted] if isinstance(wanted, str) else wanted or ()
    for name in names if usual else ():
        if name not in (*known, "auto") and "precision" not in name and "." not in name:
            raise _unknown("default_hooks.checkpoint.save_best", name, known)
