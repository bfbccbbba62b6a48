"""The graph of an exported file, from images to named outputs."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixnet_dense.backbones.algorithms import set_channels_last
from mixnet_dense.backbones.blocks import PointwiseConv2d, upsample
from mixnet_dense.export.description import Description
from mixnet_dense.export.fuse import fuse
from mixnet_dense.images import RESIZES


class Preprocess(nn.Module):
    """Decoded images (N, 3, H, W), BGR, 0 to 255, to the network's input."""

    def __init__(self, about: Description):
        super().__init__()
        self.bgr_to_rgb = about.bgr_to_rgb
        self.register_buffer("mean", torch.tensor(about.mean).view(1, -1, 1, 1))
        self.register_buffer("factor", 1 / torch.tensor(about.std).view(1, -1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        if self.bgr_to_rgb:  # split and concatenate is fast in every runtime
            images = torch.cat(images.chunk(3, 1)[::-1], 1)
        return (images - self.mean) * self.factor


def network_input(
    images: Sequence[np.ndarray], size: tuple[int, int], about: Description
) -> Tensor:
    """Images (H, W, 3) uint8, BGR, as a file's input (N, 3, height, width) float32, or padded."""
    height, width = size
    resized = np.stack([RESIZES[about.resize](image, width, height) for image in images])
    batch = torch.from_numpy(resized).permute(0, 3, 1, 2).float().contiguous()
    batch = batch if about.preprocess else Preprocess(about)(batch)
    rows, columns = about.padded or size
    missing = (0, max(columns - width, 0), 0, max(rows - height, 0))
    return F.pad(batch, missing, value=about.pad_value)


class _Groups(nn.Module):
    """The groups of a 1x1 convolution, each with a weight of its own.

    A graph that splits one weight is the same for the runtimes, but NNCF fails.
    """

    def __init__(self, conv: PointwiseConv2d):
        super().__init__()
        self.convs = nn.ModuleList()
        biases = [None] * conv.groups if conv.bias is None else conv.bias.chunk(conv.groups)
        for weight, bias in zip(conv.weight.chunk(conv.groups), biases, strict=True):
            part = nn.Conv2d(weight.shape[1], len(weight), 1, bias=bias is not None)
            state = dict(weight=weight) if bias is None else dict(weight=weight, bias=bias)
            part.load_state_dict(state)
            self.convs.append(part.requires_grad_(False))

    def forward(self, x: Tensor) -> Tensor:
        parts = x.chunk(len(self.convs), 1)
        return torch.cat([conv(part) for conv, part in zip(self.convs, parts, strict=True)], 1)


def _apart(model: nn.Module) -> nn.Module:
    """Replace the grouped 1x1 convolutions, in place."""
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if isinstance(child, PointwiseConv2d) and child.groups > 1:
                setattr(parent, name, _Groups(child))
    return model


class Graph(nn.Module):
    """A fused model as a function of tensors alone.

    The input ``images`` is (N, 3, H, W). Outputs, under the names of ``about.outputs``:

    * of a detector ``scores_0 …`` (N, anchors * (classes + 1), h, w) logits and
      ``deltas_0 …`` (N, anchors * 4, h, w) of each map; end to end the candidates for
      `suppression`: ``all_boxes`` (N, A, 4) corners in pixels of the input and
      ``all_scores`` (N, classes, A) in [0, 1];
    * of a segmenter ``logits`` (N, classes, h, w) as its head gives them; end to end
      ``labels`` (N, H, W) uint8.

    Args:
        model: of mmdet or mmseg; it is copied.
        about: what is wanted.
    """

    def __init__(self, model: nn.Module, about: Description):
        super().__init__()
        self.model, self.about = _apart(set_channels_last(fuse(model), False)), about
        self.preprocess = Preprocess(about) if about.preprocess else nn.Identity()

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        found = self.model(self.preprocess(images), mode="tensor")
        if self.about.task == "segmentation":
            return (self._labels(found, images) if self.about.end_to_end else found,)
        scores, deltas = found
        if self.about.end_to_end:
            return self._candidates(scores, deltas, images)
        return (*scores, *deltas)

    def _labels(self, logits: Tensor, images: Tensor) -> Tensor:
        logits = upsample(logits, images.shape[-2:], self.about.align_corners)
        return logits.argmax(1).to(torch.uint8)

    def _candidates(self, scores, deltas, images: Tensor) -> tuple[Tensor, Tensor]:
        head, (height, width) = self.model.bbox_head, images.shape[-2:]
        maps = [level.shape[-2:] for level in scores]
        anchors = head.prior_generator.traced(maps, (height, width), images.device)
        confidence = head.confidences(scores)
        deltas = head._flatten(deltas, 4)
        anchors = anchors[None].expand(len(deltas), -1, -1).reshape(-1, 4)
        boxes = head.bbox_coder.decode(anchors, deltas.reshape(-1, 4)).view_as(deltas)
        x, y = boxes[..., 0::2].clamp(0, width), boxes[..., 1::2].clamp(0, height)
        return torch.stack([x, y], -1).flatten(2), confidence.transpose(1, 2)
