"""Anchors of SSDLite, in fractions of the image as in the papers' released code.

A scale is a side in fractions of the image; the six maps have scales spaced evenly
from 0.2 to 0.95 (SSD, https://arxiv.org/abs/1512.02325, equation 4). So anchors need no
fixed input size.
"""

import functools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mixnet_dense.registry import TASK_UTILS

Shapes = tuple[tuple[float, float], ...]


@TASK_UTILS.register_module()
class SSDLiteAnchorGenerator:
    """Anchors of each map: the scale, its geometric mean with the next scale, the ratios.

    Args:
        levels: number of maps.
        min_scale, max_scale: of the first and the last map, in fractions of the image.
        ratios: width / height.
        inverses: a second ratio, placed after each ratio; None for 1 / ratio.
        mean_last: put the geometric mean after the ratios, as TensorFlow does.
        first_level: 3 anchors on the first map, scale 0.1 and the ratios 2 and 1/2 (the
            papers), or 6 as on the others (torchvision).
        clip: limit widths and heights to the image (torchvision).
        scales: levels + 1 scales to use instead of evenly spaced ones (mmdet).

    Raises:
        ValueError: ``first_level`` is neither 3 nor 6, or ``scales`` is not levels + 1 long.
    """

    def __init__(
        self,
        levels: int = 6,
        min_scale: float = 0.2,
        max_scale: float = 0.95,
        ratios: Sequence[float] = (2.0, 3.0),
        inverses: Sequence[float] | None = None,
        mean_last: bool = False,
        first_level: int = 3,
        clip: bool = False,
        scales: Sequence[float] | None = None,
    ):
        if first_level not in (3, 6):
            raise ValueError(f"first_level={first_level!r}: must be 3 or 6")
        if scales is None:
            step = (max_scale - min_scale) / max(levels - 1, 1)
            scales = [min_scale + step * level for level in range(levels)] + [1.0]
        elif len(scales) != levels + 1:
            raise ValueError(f"scales={scales!r}: must have levels + 1 = {levels + 1} values")
        inverses = [1 / ratio for ratio in ratios] if inverses is None else inverses
        ratios = [ratio for pair in zip(ratios, inverses, strict=True) for ratio in pair]
        shapes = []
        for scale, following in zip(scales, scales[1:], strict=False):
            rest = [_shape(scale, ratio) for ratio in ratios]
            rest.insert(len(rest) if mean_last else 0, _shape(math.sqrt(scale * following), 1.0))
            shapes.append((_shape(scale, 1.0), *rest))
        if first_level == 3:
            shapes[0] = ((0.1, 0.1), _shape(scales[0], 2.0), _shape(scales[0], 0.5))
        if clip:
            shapes = [tuple((min(w, 1.0), min(h, 1.0)) for w, h in level) for level in shapes]
        self.shapes: tuple[Shapes, ...] = tuple(shapes)

    @property
    def num_levels(self) -> int:
        return len(self.shapes)

    @property
    def num_base_priors(self) -> list[int]:
        """Anchors at each place of each map."""
        return [len(level) for level in self.shapes]

    def anchors(self, maps, image, device="cpu") -> Tensor:
        """All anchors of an image.

        Args:
            maps: (height, width) of each feature map.
            image: (height, width) of the network's input in pixels.
            device: of the result.

        Returns:
            (A, 4) corners ``x1, y1, x2, y2`` in pixels; row by row through a map, its
            anchors of one place together. Cached: do not write into it.
        """
        maps = tuple((int(height), int(width)) for height, width in maps)
        return _anchors(self.shapes, maps, (int(image[0]), int(image[1])), str(device))

    def traced(self, maps, image, device) -> Tensor:
        """Like `anchors`, but not cached; the sizes may be symbols of an exporter."""
        return place(self.shapes, maps, image, device)


def input_anchors(model: nn.Module, size: tuple[int, int]) -> Tensor:
    """All anchors (A, 4) in pixels of a detector with `SSDLiteAnchorGenerator`.

    Args:
        model: the detector, on any device.
        size: (height, width) of its input in pixels.
    """
    image = torch.zeros(1, 3, *size, device=next(model.parameters()).device)
    with torch.no_grad():
        maps = model.extract_feat(image)
    return model.bbox_head.prior_generator.anchors([each.shape[-2:] for each in maps], size)


def _shape(scale: float, ratio: float) -> tuple[float, float]:
    return scale * math.sqrt(ratio), scale / math.sqrt(ratio)


@functools.lru_cache(maxsize=64)
def _anchors(shapes, maps, image, device: str) -> Tensor:
    return place(shapes, maps, image, "cpu").to(device)


def place(shapes: Sequence[Shapes], maps, image, device) -> Tensor:
    """Shapes at every place of their maps; see `SSDLiteAnchorGenerator.anchors`."""
    tall, wide = image
    levels = []
    for level, (height, width) in zip(shapes, maps, strict=True):
        y, x = torch.meshgrid(
            (torch.arange(height, device=device) + 0.5) / height,
            (torch.arange(width, device=device) + 0.5) / width,
            indexing="ij",
        )
        x, y = x.reshape(-1, 1), y.reshape(-1, 1)  # (H * W, 1)
        half = torch.tensor(level, device=device) / 2  # (anchors, 2)
        corners = [
            (x - half[:, 0]) * wide,
            (y - half[:, 1]) * tall,
            (x + half[:, 0]) * wide,
            (y + half[:, 1]) * tall,
        ]
        levels.append(torch.stack(corners, -1).reshape(-1, 4))
    return torch.cat(levels)
