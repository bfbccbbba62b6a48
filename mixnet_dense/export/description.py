"""The metadata of an exported file."""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import mmcv
from mmengine.config import Config
from torch import nn

from mixnet_dense import __version__
from mixnet_dense.errors import InputError
from mixnet_dense.images import RESIZES

KEY = "mixnet_dense"
"""The name of a file's metadata, which is JSON."""

MOST_SIDE = 16_384  # pixels of an exported file's input
SUPPRESSIONS = ("nms", "soft_nms", "nms_match", "nms_quadri", "nms_rotated")
_TYPE = re.compile(r"((mixnet_dense|mmdet|mmseg|mmcv|mmengine)\.)?\w+")

CANDIDATES = ("all_boxes", "all_scores")


@dataclass(frozen=True)
class Description:
    """A file's metadata. Files of earlier versions lack the fields that have a default."""

    task: str  # 'detection' or 'segmentation'
    config: str  # file name of the config
    model: Mapping  # the config's model; its head decodes raw outputs
    suppression: Mapping | None  # a detector's test_cfg
    classes: Sequence[str]  # names in the order of labels
    palette: Sequence | None  # RGB colours of the classes
    mean: Sequence[float]  # of each channel, in the order that the network takes
    std: Sequence[float]
    bgr_to_rgb: bool  # whether the network takes RGB; decoded images are BGR
    batch: int | None  # images of the input, None for any
    height: int | None  # of the input in pixels, None for any
    width: int | None
    resized: Sequence[int] | None  # (height, width) of the test pipeline's Resize, if any
    preprocess: bool  # whether the file itself normalises and converts BGR to RGB
    end_to_end: bool  # whether the file itself gives final boxes or class numbers
    outputs: Sequence[str] = ()  # names in the order of the graph's outputs
    version: str = __version__  # of this package
    keep_ratio: bool = False  # whether that Resize keeps the ratio of width to height
    padded: Sequence[int] | None = None  # (height, width) that images are padded to, if they are
    pad_value: float = 0.0  # of the input, right of and below such an image
    align_corners: bool = False  # how a segmenter's logits are resized
    resize: str = "Resize"  # the kind of that Resize, a name in `images.RESIZES`

    @property
    def suppresses(self) -> bool:
        """Whether non-maximum suppression is in the file."""
        return self.end_to_end and self.task == "detection"

    def input_size(self, shape: tuple[int, int]) -> tuple[int, int]:
        """(height, width) that an image of this (height, width) is resized to, without padding."""
        if self.keep_ratio:  # as the test pipeline does, also if the file is for one size
            return mmcv.rescale_size(shape[::-1], tuple(self.resized)[::-1])[::-1]
        fixed = self.height and not self.padded
        return (self.height, self.width) if fixed else tuple(self.resized or shape)

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def from_json(text: str | None, file: str) -> Description:
    """Read a file's metadata.

    Raises:
        InputError: it has none, because another program wrote it; or a value of another kind, or
            one that would run code.
    """
    try:
        about = Description(**json.loads(text or ""))
    except (ValueError, TypeError, RecursionError) as error:
        raise InputError(
            f"'{file}': has no metadata of mixnet_dense; was it written by tools/export.py?"
        ) from error
    for name, good in _KINDS.items():
        if not good(getattr(about, name)):
            raise InputError(f"'{file}': metadata: {name} cannot be {getattr(about, name)!r:.60}")
    return about


def _numbers(value, count: int = 3) -> bool:
    right = isinstance(value, (list, tuple)) and len(value) == count
    return right and all(isinstance(n, (int, float)) and math.isfinite(n) for n in value)


def _names(value, least: int = 0) -> bool:
    return (
        isinstance(value, (list, tuple))
        and len(value) >= least
        and all(isinstance(name, str) for name in value)
    )


def _side(value) -> bool:
    return value is None or (isinstance(value, int) and 1 <= value <= MOST_SIDE)


def _sides(value) -> bool:
    return value is None or (_numbers(value, 2) and all(map(_side, value)))


def _is_data(model) -> bool:
    """Whether a model's config names only parts of the hosts.

    mmengine would import and call whatever else a ``type`` names, such as ``os.system``.
    """
    if isinstance(model, Mapping):
        kind = model.get("type", "x")
        if not isinstance(kind, str) or not _TYPE.fullmatch(kind):
            return False
        return all(map(_is_data, model.values()))
    return not isinstance(model, (list, tuple)) or all(map(_is_data, model))


def _suppresses(value) -> bool:
    """Whether a detector's test_cfg is one; mmcv evaluates the type of its ``nms`` as code."""
    if not isinstance(value, Mapping):
        return value is None
    nms = value.get("nms", {})
    return isinstance(nms, Mapping) and nms.get("type", "nms") in SUPPRESSIONS


_KINDS = {
    "task": lambda task: task in ("detection", "segmentation"),
    "model": lambda model: (
        isinstance(model, Mapping) and _is_data(model) and _suppresses(model.get("test_cfg"))
    ),
    "suppression": _suppresses,
    "classes": lambda classes: _names(classes, 1),
    "mean": _numbers,
    "std": lambda std: _numbers(std) and min(std) > 0,
    "batch": _side,
    "height": _side,
    "width": _side,
    "resized": _sides,
    "padded": _sides,
    "outputs": _names,
    "palette": lambda colours: (
        colours is None or (isinstance(colours, list) and all(map(_numbers, colours)))
    ),
    "pad_value": lambda value: isinstance(value, (int, float)),
    "resize": lambda kind: kind in RESIZES,
}


def describe(
    model: nn.Module,
    *,
    size: tuple[int, int] | None = None,
    batch: int | None = None,
    preprocess: bool = False,
    end_to_end: bool = False,
) -> Description:
    """The metadata of a model's file.

    Args:
        model: with ``cfg`` and ``dataset_meta``, see `weights.load.load_model`.
        size: (height, width) of the input.
        batch, preprocess, end_to_end: see `Description`.

    Raises:
        InputError: see `pipeline_resize`; or images are padded in a way that is not supported.
    """
    config = model.cfg.model
    prepare = config.get("data_preprocessor") or {}
    head = getattr(model, "bbox_head", None)
    mean = list(map(float, prepare.get("mean") or (0, 0, 0)))
    std = list(map(float, prepare.get("std") or (1, 1, 1)))
    padded, pad_value = _padding(prepare, zip(mean, std, strict=True) if preprocess else ())
    return Description(
        task="detection" if head else "segmentation",
        config=Path(model.cfg.filename or "").name,
        model=json.loads(json.dumps(config.to_dict(), default=str)),
        suppression=dict(head.test_cfg) if head else None,
        classes=list(model.dataset_meta["classes"]),
        palette=model.dataset_meta.get("palette"),
        mean=mean,
        std=std,
        bgr_to_rgb=bool(prepare.get("bgr_to_rgb") or prepare.get("rgb_to_bgr")),
        batch=batch,
        height=size[0] if size else None,
        width=size[1] if size else None,
        preprocess=preprocess,
        end_to_end=end_to_end,
        outputs=_outputs(head, end_to_end),
        padded=padded,
        pad_value=pad_value,
        align_corners=head is None and model.decode_head.align_corners,
        **pipeline_resize(model.cfg),
    )


def _padding(prepare: Mapping, scales: Iterable) -> tuple[tuple[int, int] | None, float]:
    """(height, width) that mmseg's preprocessing pads test images to, and the value it pads with.

    Args:
        prepare: the config's ``data_preprocessor``.
        scales: mean and deviation of each channel if images are padded before normalisation.
    """
    test, value = prepare.get("test_cfg") or {}, prepare.get("pad_val") or 0
    if (test.get("size_divisor") or 1) > 1:
        raise InputError("data_preprocessor.test_cfg: exported files take size, not size_divisor")
    if not test.get("size"):
        return None, 0.0
    values = {value * deviation + mean for mean, deviation in scales} or {value}
    if len(values) > 1:
        raise InputError(f"--preprocess: each channel would be padded otherwise, with {values}")
    return tuple(test["size"]), float(values.pop())


def _outputs(head: nn.Module | None, end_to_end: bool) -> list[str]:
    """Names of the outputs of a `graph.Graph`; ``head`` is a detector's."""
    if head is None:
        return ["labels"] if end_to_end else ["logits"]
    if end_to_end:
        return list(CANDIDATES)
    levels = range(head.prior_generator.num_levels)
    return [f"{kind}_{level}" for kind in ("scores", "deltas") for level in levels]


def pipeline_resize(config: Config) -> dict:
    """``resized``, ``keep_ratio`` and ``resize`` of a `Description`, from the test pipeline.

    Raises:
        InputError: the test pipeline resizes images in a way that is not supported.
    """
    dataset = (config.get("test_dataloader") or {}).get("dataset")
    while dataset and "pipeline" not in dataset:  # RepeatDataset, ConcatDataset
        dataset = dataset.get("dataset") or next(iter(dataset.get("datasets", ())), None)
    steps = [step for step in (dataset or {}).get("pipeline", ()) if "Resize" in step["type"]]
    if not steps:
        return dict(resized=None)
    step, keep_ratio = steps[0], bool(steps[0].get("keep_ratio"))
    kind = step["type"].rpartition(".")[2]
    if len(steps) > 1 or kind not in RESIZES or not step.get("scale"):
        types = ", ".join(step["type"] for step in steps)
        raise InputError(f"the test pipeline resizes by {types}: must be one Resize with a scale")
    prepare = config.model.get("data_preprocessor") or {}
    if keep_ratio and (prepare.get("pad_size_divisor") or 1) > 1:
        raise InputError("keep_ratio=True with pad_size_divisor: exported files are not padded")
    scale = step["scale"]  # (width, height), or one number for both
    width, height = (scale, scale) if isinstance(scale, int) else scale
    return dict(resized=(height, width), keep_ratio=keep_ratio, resize=kind)
