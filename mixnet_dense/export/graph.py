"""What is shipped of a model: one graph from images to outputs with names."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

import torch
from mmengine.config import Config
from torch import Tensor, nn

from mixnet_dense import __version__
from mixnet_dense.errors import InputError
from mixnet_dense.export.fuse import fuse

KEY = "mixnet_dense"
"""Under which a file's metadata lies in it, as JSON."""

CANDIDATES = ("all_boxes", "all_scores")


@dataclass(frozen=True)
class Description:
    """What a file says of itself.

    Attributes:
        task: ``'detection'`` or ``'segmentation'``.
        config: name of the config.
        model: the model's part of the config, to decode what a raw graph gives.
        suppression: of a detector, its ``test_cfg``.
        classes: names in the order of labels.
        palette: colours of the classes, red first, or None.
        mean, std: of each channel, in the order that the network takes.
        bgr_to_rgb: whether the channels of a decoded image (blue first) are turned.
        batch, height, width: of the input; None for any.
        resized: (height, width) that the config's test pipeline resizes images to, or None.
        preprocess: whether mean, std and turning are inside.
        end_to_end: whether decoding, suppression or the choice of a class is inside.
        outputs: their names.
        version: of this package.
    """

    task: str
    config: str
    model: Mapping
    suppression: Mapping | None
    classes: Sequence[str]
    palette: Sequence | None
    mean: Sequence[float]
    std: Sequence[float]
    bgr_to_rgb: bool
    batch: int | None
    height: int | None
    width: int | None
    resized: Sequence[int] | None
    preprocess: bool
    end_to_end: bool
    outputs: Sequence[str] = ()
    version: str = field(default=__version__)

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def from_json(text: str | None, file: str) -> Description:
    """Read what a file says of itself.

    Raises:
        InputError: it says nothing: another program wrote it.
    """
    try:
        return Description(**json.loads(text or ""))
    except (ValueError, TypeError) as error:
        raise InputError(
            f"'{file}': has no metadata of mixnet_dense; was it written by tools/export.py?"
        ) from error


class Preprocess(nn.Module):
    """Images (N, 3, H, W) as decoded, 0 to 255, blue first, to what the network takes."""

    def __init__(self, about: Description):
        super().__init__()
        self.turn = about.bgr_to_rgb
        self.register_buffer("mean", torch.tensor(about.mean).view(1, 3, 1, 1))
        self.register_buffer("factor", 1 / torch.tensor(about.std).view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        if self.turn:  # in parts, which every runtime can and none does slowly
            images = torch.cat(images.chunk(3, 1)[::-1], 1)
        return (images - self.mean) * self.factor


class Graph(nn.Module):
    """A model's tensors-to-tensors part, fused.

    ``images`` (N, 3, H, W) to, of a raw detector, ``scores_0 …`` (N, anchors * (classes + 1),
    h, w) logits and ``deltas_0 …`` (N, anchors * 4, h, w) of each map; of one that is to be
    end to end, the candidates that suppression is applied to: ``all_boxes`` (N, A, 4) in
    pixels of the input and ``all_scores`` (N, classes, A); of a raw segmenter ``logits``
    (N, classes, h, w) as its head gives them; end to end ``labels`` (N, H, W) uint8. See
    `suppression` for what becomes of the candidates.

    Args:
        model: of mmdet or mmseg.
        about: what is wanted.
    """

    def __init__(self, model: nn.Module, about: Description):
        super().__init__()
        fused = fuse(model)
        for module in fused.modules():
            if hasattr(module, "channels_last"):
                module.channels_last = False
        self.preprocess = Preprocess(about) if about.preprocess else nn.Identity()
        self.model, self.end_to_end = fused, about.end_to_end
        self.detects = about.task == "detection"

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        x = self.preprocess(images)
        if not self.detects:
            logits = self.model(x, mode="tensor")
            return (self._labels(logits, images) if self.end_to_end else logits,)
        scores, deltas = self.model(x, mode="tensor")
        if self.end_to_end:
            return self._candidates(scores, deltas, images)
        return (*scores, *deltas)

    def _labels(self, logits: Tensor, images: Tensor) -> Tensor:
        logits = nn.functional.interpolate(
            logits, size=images.shape[-2:], mode="bilinear", align_corners=False
        )
        return logits.argmax(1).to(torch.uint8)

    def _candidates(self, scores, deltas, images: Tensor) -> tuple[Tensor, Tensor]:
        head = self.model.bbox_head
        height, width = images.shape[-2:]
        anchors = head.prior_generator.traced(
            [level.shape[-2:] for level in scores], (height, width), images.device
        )
        confidence = head._flatten(scores, head.cls_out_channels).softmax(-1)[..., :-1]
        moves = head._flatten(deltas, 4)
        count = moves.shape[0]
        anchors = anchors[None].expand(count, -1, -1).reshape(-1, 4)
        boxes = head.bbox_coder.decode(anchors, moves.reshape(-1, 4)).reshape(count, -1, 4)
        x, y = boxes[..., 0::2].clamp(0, width), boxes[..., 1::2].clamp(0, height)
        boxes = torch.stack([x, y], -1).flatten(2)
        return boxes, confidence.transpose(1, 2)


def output_names(model: nn.Module, about: Description) -> list[str]:
    """Names of a `Graph`'s outputs in their order."""
    if about.task == "segmentation":
        return ["labels"] if about.end_to_end else ["logits"]
    if about.end_to_end:
        return list(CANDIDATES)
    levels = range(model.bbox_head.prior_generator.num_levels)
    return [f"{kind}_{level}" for kind in ("scores", "deltas") for level in levels]


def describe(
    config: Config,
    model: nn.Module,
    *,
    size: tuple[int, int] | None,
    batch: int | None,
    preprocess: bool,
    end_to_end: bool,
) -> Description:
    """What a model's file will say of itself.

    Args:
        config: of the model.
        model: with ``dataset_meta``, see `evaluation.predict.load_model`.
        size: (height, width) of the input, None for any.
        batch: images of the input, None for any.
        preprocess, end_to_end: see `Description`.
    """
    prepare = model.data_preprocessor
    mean = getattr(prepare, "mean", torch.zeros(3)).flatten().tolist()
    std = getattr(prepare, "std", torch.ones(3)).flatten().tolist()
    about = Description(
        task="segmentation" if hasattr(model, "decode_head") else "detection",
        config=config.filename.rpartition("/")[2] if config.filename else "",
        model=json.loads(json.dumps(config.model.to_dict(), default=str)),
        suppression=dict(model.bbox_head.test_cfg) if hasattr(model, "bbox_head") else None,
        classes=list(model.dataset_meta["classes"]),
        palette=model.dataset_meta.get("palette"),
        mean=mean,
        std=std,
        bgr_to_rgb=bool(getattr(prepare, "_channel_conversion", False)),
        batch=batch,
        height=size[0] if size else None,
        width=size[1] if size else None,
        resized=resized(config),
        preprocess=preprocess,
        end_to_end=end_to_end,
    )
    return replace(about, outputs=output_names(model, about))


def resized(config: Config) -> tuple[int, int] | None:
    """(height, width) that the test pipeline resizes every image to, None if it does not."""
    for step in config.test_dataloader.dataset.pipeline:
        if step["type"] == "Resize" and step.get("scale") and not step.get("keep_ratio"):
            width, height = step["scale"]
            return height, width
    return None
