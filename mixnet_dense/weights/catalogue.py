"""The models of other libraries whose weights become ours, and what those weights assume.

timm (https://github.com/huggingface/pytorch-image-models), torchvision, mmpretrain, mmdet,
mmseg, TensorFlow, and github.com/tonylins/pytorch-mobilenet-v2.
"""

import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mixnet_dense.backbones import networks
from mixnet_dense.backbones.arch import Network
from mixnet_dense.errors import InputError
from mixnet_dense.weights import names
from mixnet_dense.weights import tensorflow_rules as tensorflow
from mixnet_dense.weights.rules import Names

_V2 = ("MobileNetV2", "classification")
_LARGE, _SMALL = ("MobileNetV3", "large"), ("MobileNetV3", "small")
_IMAGENET = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
_HALF = ((127.5,) * 3,) * 2
_SAME = dict(padding="same")

# COCO's 80 classes have the ids 1 to 90 without these.
COCO_GAPS = frozenset({12, 26, 29, 30, 45, 66, 68, 69, 71, 83})

# Known to timm 1.0.31 (as NAME.untrained), which has no weights for them.
UNTRAINED = ("mobilenetv2_035", "mobilenetv2_075", "mobilenetv3_large_075", "semnasnet_050")


@dataclass(frozen=True)
class Origin:
    """A model of another library.

    Attributes:
        names: what that library calls the modules.
        kind, arch: our backbone's type and ``arch``.
        options: other arguments of our backbone that change what it computes.
        eps: of its batch norm.
        scaling: mean and standard deviation for the preprocessing of RGB pixels from 0 to 255.
        whole: ``'detection'`` or ``'segmentation'`` for a whole model, '' for a backbone.
        prefix: what the keys of its backbone begin with in its checkpoints; other keys are
            left out.
        classes: gives the names of a whole model's classes, in order.
    """

    names: Names
    kind: str
    arch: str
    options: Mapping = field(default_factory=dict)
    eps: float = 1e-5
    scaling: tuple = _IMAGENET
    whole: str = ""
    prefix: str = ""
    classes: Callable[[], tuple[str, ...]] | None = None

    @property
    def table(self) -> Network:
        return getattr(networks, self.kind).tables[self.arch]

    @property
    def taps(self) -> tuple[str]:
        """The deepest tap of the backbone that has exactly these weights."""
        return ("last",) if self.names.last else ("c5",)

    def expected(self) -> dict[str, Tensor]:
        """The state dict of our backbone, with shapes but without values."""
        with torch.device("meta"):
            build = getattr(networks, self.kind)
            return build(self.arch, out_taps=self.taps, **self.options).state_dict()

    def assumes(self) -> dict:
        """What a config must have for these weights: backbone and preprocessing."""
        mean, std = self.scaling
        backbone = dict(type=f"mixnet_dense.{self.kind}", arch=self.arch)
        backbone |= dict(width=1.0, padding="symmetric") | self.options
        return dict(
            backbone={**backbone, "norm_cfg": dict(eps=self.eps)},
            data_preprocessor=dict(mean=list(mean), std=list(std), bgr_to_rgb=True),
        )


def _class_names(library: str, dataset: str) -> tuple[str, ...]:
    try:
        datasets = importlib.import_module(f"{library}.datasets")
    except ImportError as error:
        raise InputError(f"class names come from {library}, which is missing: {error}") from error
    return tuple(getattr(datasets, dataset).METAINFO["classes"])


def _coco() -> tuple[str, ...]:
    return _class_names("mmdet", "CocoDataset")


def coco_slots() -> tuple[str, ...]:
    """COCO's classes by id from 1 to 90, ``(none ID)`` for ids without one."""
    known = iter(_coco())
    return tuple(f"(none {i})" if i in COCO_GAPS else next(known) for i in range(1, 91))


def _voc() -> tuple[str, ...]:
    return _class_names("mmseg", "PascalVOCDataset")


# Name in timm without its width, our backbone, widths.
_TIMM = (
    ("mobilenetv1", ("MobileNetV1", "v1"), (1.0,)),
    ("mobilenetv2", _V2, (0.35, 0.5, 0.75, 1.0, 1.4)),
    ("semnasnet", ("MnasNet", "classification"), (0.5, 0.75, 1.0)),
    ("mobilenetv3_large", _LARGE, (0.75, 1.0)),
    ("mobilenetv3_small", _SMALL, (0.5, 0.75, 1.0)),
    ("tf_mobilenetv3_large", _LARGE, (0.75, 1.0)),
    ("tf_mobilenetv3_large_minimal", ("MobileNetV3", "large_minimal"), (1.0,)),
    ("tf_mobilenetv3_small", _SMALL, (0.75, 1.0)),
    ("tf_mobilenetv3_small_minimal", ("MobileNetV3", "small_minimal"), (1.0,)),
)


def _timm() -> Iterator[tuple[str, Origin]]:
    for size in "sml":
        yield f"mixnet_{size}", Origin(names.TIMM, "MixNet", size)
        yield f"tf_mixnet_{size}", Origin(names.TIMM, "MixNet", size, _SAME, eps=1e-3)
    for family, (kind, arch), widths in _TIMM:
        tf = family.startswith("tf_")
        scaling = _HALF if tf or kind == "MobileNetV1" else _IMAGENET
        theirs = names.TIMM_V3 if kind == "MobileNetV3" else names.TIMM
        for width in widths:
            options = dict(width=width) | (_SAME if tf else {})
            if kind == "MobileNetV3" and width < 0.75:
                options["fixed_stem"] = True
            found = Origin(theirs, kind, arch, options, 1e-3 if tf else 1e-5, scaling)
            yield f"{family}_{round(100 * width):03d}", found


_MM = dict(prefix="backbone.")
# mmseg pads strided convolutions as TensorFlow does, and dilates after stride 8.
_MMSEG_V3 = _MM | dict(options=dict(output_stride=8, dilate_strided=True, **_SAME), eps=1e-3)

_TENSORFLOW = dict(options=_SAME, eps=1e-3, scaling=_HALF)


def _api() -> Iterator[tuple[str, Origin]]:
    """The Object Detection API's SSDLite; unchecked for MobileNetV3, for lack of a file."""
    for name, backbone, theirs in (
        ("mobilenetv2", ("MobileNetV2", "detection"), tensorflow.SSDLITE_V2),
        ("mobilenetv3_large", _LARGE, tensorflow.SSDLITE_V3_LARGE),
        ("mobilenetv3_small", _SMALL, tensorflow.SSDLITE_V3_SMALL),
    ):
        options = _SAME | (dict(reduced_tail="detection") if "v3" in name else {})
        whole = dict(whole="detection", classes=coco_slots)
        yield f"ssdlite_{name}_coco", Origin(theirs, *backbone, options, 1e-3, _HALF, **whole)


ORIGINS: dict[str, dict[str, Origin]] = {
    "timm": dict(_timm()),
    "torchvision": {
        "mobilenet_v2": Origin(names.TORCHVISION_V2, *_V2),
        "mobilenet_v3_large": Origin(names.TORCHVISION_V3, *_LARGE, eps=1e-3),
        "mobilenet_v3_small": Origin(names.TORCHVISION_V3, *_SMALL, eps=1e-3),
        "ssdlite320_mobilenet_v3_large": Origin(
            names.TORCHVISION_SSDLITE,
            *_LARGE,
            dict(reduced_tail="detection"),
            eps=1e-3,
            scaling=_HALF,
            whole="detection",
            classes=coco_slots,
        ),
        "lraspp_mobilenet_v3_large": Origin(
            names.TORCHVISION_LRASPP,
            *_LARGE,
            dict(output_stride=16, dilate_strided=True),
            eps=1e-3,
            whole="segmentation",
            classes=_voc,
        ),
    },
    "mmpretrain": {
        "mobilenet_v2": Origin(names.MM_V2, *_V2, **_MM),
        "mobilenet_v3_large": Origin(names.MM_V3, *_LARGE, eps=1e-3, **_MM),
        "mobilenet_v3_small": Origin(names.MM_V3, *_SMALL, eps=1e-3, **_MM),
    },
    "mmdet": {
        "mobilenet_v2": Origin(names.MMDET_V2, *_V2, **_MM),
        "ssdlite_mobilenetv2": Origin(
            names.MMDET_SSDLITE, *_V2, eps=1e-3, whole="detection", classes=_coco
        ),
    },
    "mmseg": {
        "mobilenet_v2": Origin(names.MMSEG_V2, *_V2, **_MM),
        "mobilenet_v3_large": Origin(names.MM_V3, *_LARGE, **_MMSEG_V3),
        "mobilenet_v3_small": Origin(names.MM_V3, *_SMALL, **_MMSEG_V3),
    },
    "tensorflow": {
        "mobilenetv1": Origin(tensorflow.V1, "MobileNetV1", "v1", **_TENSORFLOW),
        **dict(_api()),
        "deeplab_mobilenetv2_voc": Origin(
            tensorflow.DEEPLAB_V2,
            *_V2,
            dict(output_stride=16, **_SAME),
            eps=1e-3,
            scaling=((128.0,) * 3,) * 2,
            whole="segmentation",
            classes=_voc,
        ),
    },
    "tonylins": {"mobilenet_v2": Origin(names.FLAT_V2, *_V2)},
}
"""Origins by source and by the model's name there."""


def find(source: str, model: str) -> Origin:
    """The `Origin` of a name.

    Raises:
        InputError: an unknown source or model; the message lists the known ones.
    """
    if source not in ORIGINS:
        raise InputError(f"source '{source}': must be one of {', '.join(ORIGINS)}")
    if model not in ORIGINS[source]:
        raise InputError(f"model '{model}': must be one of {', '.join(ORIGINS[source])}")
    return ORIGINS[source][model]


def metadata(source: str, model: str) -> dict:
    """The metadata of converted weights: their origin and what they assume.

    ``converted`` names source and model, ``assumes`` is `Origin.assumes`, and
    ``dataset_meta`` has the classes of a whole model.
    """
    origin = find(source, model)
    meta = dict(converted=dict(source=source, model=model), assumes=origin.assumes())
    return meta | (dict(dataset_meta=dict(classes=origin.classes())) if origin.classes else {})
