"""The models of other libraries whose weights become ours, and what those weights assume.

timm (https://github.com/huggingface/pytorch-image-models), torchvision, mmpretrain, mmdet,
mmseg, and github.com/tonylins/pytorch-mobilenet-v2.
"""

import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from mixnet_dense.backbones import tables
from mixnet_dense.backbones.arch import Network
from mixnet_dense.errors import InputError
from mixnet_dense.weights import rules
from mixnet_dense.weights.rules import Rule

TABLES = {
    "MixNet": tables.MIXNET,
    "MobileNetV1": tables.MOBILENET_V1,
    "MobileNetV2": tables.MOBILENET_V2,
    "MobileNetV3": tables.MOBILENET_V3,
    "MnasNet": tables.MNASNET,
}
_IMAGENET = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
_HALF = ((127.5,) * 3,) * 2
_TF_PADDING = "same"


# COCO's 80 classes carry the ids 1 to 90 with these left out.
COCO_GAPS = frozenset({12, 26, 29, 30, 45, 66, 68, 69, 71, 83})


def _coco() -> tuple[str, ...]:
    return _class_names("mmdet", "CocoDataset")


def _class_names(library: str, dataset: str) -> tuple[str, ...]:
    try:
        datasets = importlib.import_module(f"{library}.datasets")
    except ImportError as error:
        raise InputError(f"class names come from {library}, which is not there: {error}") from error
    return tuple(getattr(datasets, dataset).METAINFO["classes"])


def coco_slots() -> tuple[str, ...]:
    """COCO's classes by id from 1 to 90, ``(none ID)`` for ids without one."""
    names = iter(_coco())
    return tuple(f"(none {i})" if i in COCO_GAPS else next(names) for i in range(1, 91))


def _voc() -> tuple[str, ...]:
    return _class_names("mmseg", "PascalVOCDataset")


@dataclass(frozen=True)
class Origin:
    """A model of another library.

    Attributes:
        rules: from our table to `Rule`.
        kind, arch: our backbone's type and ``arch``.
        options: its other arguments that decide what it computes.
        eps: of its batch norm.
        scaling: mean and standard deviation that images have subtracted and divided by,
            for pixels from 0 to 255, red first.
        whole: ``'detector'`` or ``'segmenter'``; '' for a backbone.
        taps: of our backbone that has exactly these weights.
        prefix: what its checkpoints have before each of its keys; others are left out.
        classes: names of a whole model's classes, in order.
    """

    rules: Callable[[Network], Iterator[Rule]]
    kind: str
    arch: str
    options: Mapping = field(default_factory=dict)
    eps: float = 1e-5
    scaling: tuple = _IMAGENET
    whole: str = ""
    taps: tuple[str, ...] = ("last",)
    prefix: str = ""
    classes: Callable[[], tuple[str, ...]] | None = None

    @property
    def table(self) -> Network:
        return TABLES[self.kind][self.arch]

    def assumes(self) -> dict:
        """What a config must have for these weights: backbone and preprocessing."""
        mean, std = self.scaling
        backbone = dict(type=f"mixnet_dense.{self.kind}", arch=self.arch, **self.options)
        backbone = {"width": 1.0, "padding": "symmetric", **backbone}
        return dict(
            backbone={**backbone, "norm_cfg": dict(eps=self.eps)},
            data_preprocessor=dict(mean=list(mean), std=list(std), bgr_to_rgb=True),
        )


def _timm() -> Iterator[tuple[str, Origin]]:
    for size in "sml":
        yield f"mixnet_{size}", Origin(rules.timm, "MixNet", size)
        tf = dict(options=dict(padding=_TF_PADDING), eps=1e-3)
        yield f"tf_mixnet_{size}", Origin(rules.timm, "MixNet", size, **tf)
    yield "mobilenetv1_100", Origin(rules.timm, "MobileNetV1", "v1", scaling=_HALF)
    for width in (0.35, 0.5, 0.75, 1.0, 1.4):
        yield f"mobilenetv2_{_percent(width)}", _wide(rules.timm, "MobileNetV2", width)
    for width in (0.5, 0.75, 1.0):
        yield f"semnasnet_{_percent(width)}", _wide(rules.timm, "MnasNet", width)
    for arch, widths in (("large", (0.75, 1.0)), ("small", (0.5, 0.75, 1.0))):
        for width in widths:
            options = dict(width=width) | (dict(fixed_stem=True) if width < 0.75 else {})
            found = Origin(rules.timm, "MobileNetV3", arch, options)
            yield f"mobilenetv3_{arch}_{_percent(width)}", found
    for arch in ("large", "small"):
        for width, variant in ((0.75, ""), (1.0, ""), (1.0, "_minimal")):
            options = dict(width=width, padding=_TF_PADDING)
            tf = dict(options=options, eps=1e-3, scaling=_HALF)
            found = Origin(rules.timm, "MobileNetV3", arch + variant, **tf)
            yield f"tf_mobilenetv3_{arch}{variant}_{_percent(width)}", found


def _wide(rule, kind: str, width: float) -> Origin:
    return Origin(rule, kind, "classification", dict(width=width))


def _percent(width: float) -> str:
    return f"{round(100 * width):03d}"


def _torchvision() -> Iterator[tuple[str, Origin]]:
    yield "mobilenet_v2", _wide(rules.torchvision_v2, "MobileNetV2", 1.0)
    for arch in ("large", "small"):
        found = Origin(rules.torchvision_v3, "MobileNetV3", arch, eps=1e-3)
        yield f"mobilenet_v3_{arch}", found
    yield (
        "ssdlite320_mobilenet_v3_large",
        Origin(
            rules.torchvision_ssdlite,
            "MobileNetV3",
            "large",
            dict(reduced_tail="detection"),
            eps=1e-3,
            scaling=_HALF,
            whole="detector",
            classes=coco_slots,
        ),
    )
    yield (
        "lraspp_mobilenet_v3_large",
        Origin(
            rules.torchvision_lraspp,
            "MobileNetV3",
            "large",
            dict(output_stride=16, dilate_strided=True),
            eps=1e-3,
            whole="segmenter",
            classes=_voc,
        ),
    )


def _openmmlab(library: str) -> Iterator[tuple[str, Origin]]:
    backbone = dict(prefix="backbone.")
    names = ("expand_conv", "depthwise_conv", "linear_conv") if library == "mmdet" else None
    taps = dict(taps=("c5",)) if library == "mmseg" else {}  # it has no last convolution
    v2 = Origin(rules.mm_v2(names), "MobileNetV2", "classification", **taps, **backbone)
    yield "mobilenet_v2", v2
    if library == "mmdet":
        whole = dict(eps=1e-3, whole="detector", classes=_coco)
        found = Origin(rules.mmdet_ssdlite, "MobileNetV2", "classification", **whole)
        yield "ssdlite_mobilenetv2", found
        return
    # mmseg pads strided convolutions as TensorFlow does, and dilates behind stride 8.
    dilated = dict(padding=_TF_PADDING, output_stride=8, dilate_strided=True)
    options = dict(options=dilated) if library == "mmseg" else {}
    for arch in ("large", "small"):
        found = Origin(rules.mm_v3, "MobileNetV3", arch, eps=1e-3, **options, **backbone)
        yield f"mobilenet_v3_{arch}", found


MODELS: dict[str, dict[str, Origin]] = {
    "timm": dict(_timm()),
    "torchvision": dict(_torchvision()),
    "mmpretrain": dict(_openmmlab("mmpretrain")),
    "mmdet": dict(_openmmlab("mmdet")),
    "mmseg": dict(_openmmlab("mmseg")),
    "tonylins": {"mobilenet_v2": _wide(rules.flat_v2, "MobileNetV2", 1.0)},
}
"""Origins by source and by the model's name there."""


def find(source: str, model: str) -> Origin:
    """The `Origin` of a name.

    Raises:
        InputError: an unknown source or model; the message lists the known ones.
    """
    if source not in MODELS:
        raise InputError(f"source '{source}': must be one of {', '.join(MODELS)}")
    if model not in MODELS[source]:
        raise InputError(f"model '{model}': must be one of {', '.join(MODELS[source])}")
    return MODELS[source][model]


def metadata(source: str, model: str) -> dict:
    """What travels with converted weights: where they are from, and what they assume.

    ``converted`` names them, ``assumes`` is `Origin.assumes`, and ``dataset_meta`` has the
    classes of a whole model.
    """
    origin = find(source, model)
    meta = dict(converted=dict(source=source, model=model), assumes=origin.assumes())
    return meta | (dict(dataset_meta=dict(classes=origin.classes())) if origin.classes else {})
