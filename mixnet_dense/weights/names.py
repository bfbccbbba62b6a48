"""What other libraries call the modules of our networks; `rules.Names` explains the fields."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from mixnet_dense.weights.rules import BACKGROUND_LAST, Names, Pair, Rule, biased, conv_norm

# ------------------------------------------------------------------------ timm

TIMM = Names(
    stem=("conv_stem", "bn1"),
    block="blocks.{stage}.{place}.",
    parts=(("conv_pw", "bn1"), ("conv_dw", "bn2"), ("conv_pwl", "bn3")),
    plain=(("conv_dw", "bn1"), ("conv_pw", "bn2")),
    squeeze=("se.conv_reduce", "se.conv_expand"),
    last=("conv_head", "bn2"),
    after=(biased("classifier", "classifier"),),
)
TIMM_V3 = replace(
    TIMM,
    last=("blocks.{stage}.0.conv", "blocks.{stage}.0.bn1"),
    after=(biased("hidden.0", "conv_head"), *TIMM.after),
)

# ----------------------------------------------------------------- torchvision

_STEP = ("{part}.0", "{part}.1")
TORCHVISION_V3 = Names(
    stem=("features.0.0", "features.0.1"),
    block="features.{number}.block.",
    parts=(_STEP, _STEP, _STEP),
    plain=(_STEP, _STEP),
    squeeze=("{part}.fc1", "{part}.fc2"),
    last=("features.{number}.0", "features.{number}.1"),
    after=(biased("hidden.0", "classifier.0", linear=True), biased("classifier", "classifier.3")),
)
TORCHVISION_V2 = replace(
    TORCHVISION_V3,
    block="features.{number}.conv.",
    parts=(_STEP, _STEP, ("2", "3")),
    plain=(_STEP, ("1", "2")),
    after=(biased("classifier", "classifier.1"),),
)
FLAT_V2 = replace(  # github.com/tonylins/pytorch-mobilenet-v2 and what came from it
    TORCHVISION_V2,
    parts=(("0", "1"), ("3", "4"), ("6", "7")),
    plain=(("0", "1"), ("3", "4")),
    after=TIMM.after,
)


def _ssdlite(names: Pair, pieces: Mapping[str, str], classes: int, **options) -> Iterator[Rule]:
    """SSDLite's neck and head.

    Args:
        names: of a convolution and a batch norm, in the module that holds both.
        pieces: parts of our names, and their replacements.
        classes: class outputs for each anchor.
        options: attributes of the rules of those outputs.
    """

    def theirs(name: str) -> str:
        for ours, other in pieces.items():
            name = name.replace(ours, other)
        return name

    layers = [
        f"neck.extra_layers.{layer}.{part}"
        for layer in range(4)
        for part in ("0", "1.depthwise_conv", "1.pointwise_conv")
    ]
    heads = [f"bbox_head.{kind}_convs.{level}" for level in range(6) for kind in ("cls", "reg")]
    for ours in [*layers, *(f"{head}.0" for head in heads)]:
        yield from conv_norm(ours, [f"{theirs(ours)}.{name}" for name in names])
    for head in heads:
        last = dict(outputs=6 * classes, **options) if "cls" in head else dict(outputs=6 * 4)
        yield biased(f"{head}.1", theirs(f"{head}.1"), **last)


def _cut(name: str) -> str:
    """A feature's name in the detector, whose backbone is cut in two inside block 13."""
    _, number, rest = name.split(".", 2)
    if int(number) < 13:
        return f"backbone.features.0.{number}.{rest}"
    if int(number) > 13:
        return f"backbone.features.1.{int(number) - 13}.{rest}"
    if rest.startswith("block.0."):  # the expansion, C4, ends the first half
        return rest.replace("block.0", "backbone.features.0.13")
    return rest.replace("block", "backbone.features.1.0")


TORCHVISION_SSDLITE = replace(
    TORCHVISION_V3,
    rename=_cut,
    after=tuple(
        _ssdlite(
            ("0", "1"),
            {
                "neck.extra_layers": "backbone.extra",
                "1.depthwise_conv": "1",
                "1.pointwise_conv": "2",
                "bbox_head.cls_convs": "head.classification_head.module_list",
                "bbox_head.reg_convs": "head.regression_head.module_list",
            },
            len(BACKGROUND_LAST),
            order=BACKGROUND_LAST,
        )
    ),
)
TORCHVISION_LRASPP = replace(
    TORCHVISION_V3,
    rename=lambda name: name.replace("features", "backbone"),
    after=(
        *conv_norm("decode_head.project", ("classifier.cbr.0", "classifier.cbr.1")),
        Rule("decode_head.gate.0", ("classifier.scale.1",)),
        biased("decode_head.low_seg", "classifier.low_classifier", outputs=21),
        biased("decode_head.conv_seg", "classifier.high_classifier", outputs=21),
    ),
)

# -------------------------------------------------------------------- OpenMMLab


def _modules(*names: str) -> tuple[Pair, ...]:
    """mmcv's ConvModules."""
    return tuple((f"{name}.conv", f"{name}.bn") for name in names)


MM_V3 = Names(
    stem=("layer0.conv", "layer0.bn"),
    block="layer{number}.",
    parts=_modules("expand_conv", "depthwise_conv", "linear_conv"),
    plain=_modules("depthwise_conv", "linear_conv"),
    squeeze=("se.conv1.conv", "se.conv2.conv"),
    last=("layer{number}.conv", "layer{number}.bn"),
)
MMDET_V2 = replace(
    MM_V3,
    stem=("conv1.conv", "conv1.bn"),
    block="layer{layer}.{place}.",
    last=("conv2.conv", "conv2.bn"),
)
MMDET_SSDLITE = replace(
    MMDET_V2,
    rename=lambda name: f"backbone.{name}",
    after=tuple(_ssdlite(("conv", "bn"), {}, 81)),
)
MM_V2 = replace(
    MMDET_V2, parts=_modules(*("conv.{part}",) * 3), plain=_modules(*("conv.{part}",) * 2)
)
MMSEG_V2 = replace(MM_V2, last=None)
