"""SSD's zoom out and crop (https://arxiv.org/abs/1512.02325, section 3.6) in one step."""

from collections.abc import Sequence

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from mixnet_dense.registry import TRANSFORMS

_TRIALS = 50  # windows drawn for one overlap, as in SSD's own code


@TRANSFORMS.register_module()
class ExpandMinIoURandomCrop(BaseTransform):
    """mmdet's ``Expand`` followed by its ``MinIoURandomCrop``, with the same odds.

    Draws the sizes of canvas and window at random first, and then paints only the window.
    mmdet's pair fills the whole canvas, up to 16 times the image. All windows tried for one
    overlap are checked at once. Masks and segmentation maps are not supported.

    Changes ``img`` (H, W, 3), ``img_shape``, ``gt_bboxes`` and, where present,
    ``gt_bboxes_labels`` and ``gt_ignore_flags``: boxes whose centre is outside are dropped.

    Args:
        mean: the colour around the image, a value per channel.
        to_rgb: ``mean`` is RGB and the image BGR.
        ratio_range: sides of the canvas over those of the image, both at least 1.
        prob: of a canvas larger than the image.
        min_ious: one of these is drawn; every box must have at least this IoU with the
            window. "No limit" and "no crop" are drawn as often as each of them.
        min_crop_size: smallest side of a window, as a share of the canvas's.

    Raises:
        ValueError: ``ratio_range`` below 1; the image has masks or a segmentation map.
    """

    def __init__(
        self,
        mean: Sequence[float] = (0, 0, 0),
        to_rgb: bool = True,
        ratio_range: Sequence[float] = (1, 4),
        prob: float = 0.5,
        min_ious: Sequence[float] = (0.1, 0.3, 0.5, 0.7, 0.9),
        min_crop_size: float = 0.3,
    ):
        if not 1 <= ratio_range[0] <= ratio_range[1]:
            raise ValueError(f"ratio_range={ratio_range}: must be two growing numbers from 1 up")
        self.mean = tuple(mean[::-1] if to_rgb else mean)
        self.ratio_range, self.prob = tuple(ratio_range), prob
        self.min_ious, self.min_crop_size = tuple(min_ious), min_crop_size

    def transform(self, results: dict) -> dict:
        for key in ("gt_masks", "gt_seg_map"):
            if results.get(key) is not None:
                raise ValueError(f"{key}: not cropped here; use Expand and MinIoURandomCrop")
        height, width = results["img"].shape[:2]
        canvas, corner = self._canvas(height, width)
        boxes = results["gt_bboxes"]
        boxes.translate_((corner[1], corner[0]))
        edges = boxes.tensor.numpy()
        window = self._window(canvas, edges)
        top, left, bottom, right = window
        results["img"] = _paint(results["img"], corner, window, self.mean)
        results["img_shape"] = results["img"].shape[:2]
        if window != (0, 0, *canvas):
            kept = _centred(edges, np.array([window]))[0]
            boxes = boxes[kept]
            boxes.translate_((-left, -top))
            boxes.clip_((bottom - top, right - left))
            for key in ("gt_bboxes_labels", "gt_ignore_flags"):
                if results.get(key) is not None:
                    results[key] = results[key][kept]
        results["gt_bboxes"] = boxes
        return results

    def _canvas(self, height: int, width: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """Height and width of the canvas, and the image's top and left on it."""
        if np.random.uniform() > self.prob:
            return (height, width), (0, 0)
        ratio = np.random.uniform(*self.ratio_range)
        corner = np.random.uniform(size=2) * (height * ratio - height, width * ratio - width)
        return (int(height * ratio), int(width * ratio)), (int(corner[0]), int(corner[1]))

    def _window(self, canvas: tuple[int, int], boxes: np.ndarray) -> tuple[int, int, int, int]:
        """Top, left, bottom and right of the part of the canvas that is kept."""
        size = np.array(canvas)
        while True:
            overlap = np.random.choice((1, *self.min_ious, 0))
            if overlap == 1:
                return 0, 0, *canvas
            sides = np.random.uniform(self.min_crop_size, 1, (_TRIALS, 2)) * size
            starts = np.random.uniform(size=(_TRIALS, 2)) * (size - sides)
            windows = np.concatenate([starts, starts + sides], 1).astype(int)
            shape = sides[:, 0] / sides[:, 1]
            good = (shape >= 0.5) & (shape <= 2) & (windows[:, :2] < windows[:, 2:]).all(1)
            if len(boxes):
                good &= (_overlaps(boxes, windows) >= overlap).all(1)
                good &= _centred(boxes, windows).any(1)
            if good.any():
                return tuple(windows[good.argmax()].tolist())


def _overlaps(boxes: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """IoU (M, N) of windows (M, 4), rows first, and boxes (N, 4), columns first."""
    windows = windows[:, None, (1, 0, 3, 2)]
    shared = np.minimum(windows[..., 2:], boxes[:, 2:]) - np.maximum(windows[..., :2], boxes[:, :2])
    shared = shared.clip(0).prod(-1)
    areas = [(part[..., 2:] - part[..., :2]).prod(-1) for part in (windows, boxes)]
    return shared / np.maximum(areas[0] + areas[1] - shared, 1e-6)


def _centred(boxes: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """Whether the centre of each box is strictly inside each window, (M, N)."""
    centres = (boxes[:, (1, 0)] + boxes[:, (3, 2)]) / 2
    windows = windows[:, None]
    return ((centres > windows[..., :2]) & (centres < windows[..., 2:])).all(-1)


def _paint(image: np.ndarray, corner, window, mean) -> np.ndarray:
    """The window of a canvas of ``mean`` on which the image's top left is at ``corner``."""
    (above, before), (top, left, bottom, right) = corner, window
    height, width = image.shape[:2]
    rows = slice(max(top - above, 0), min(bottom - above, height))
    columns = slice(max(left - before, 0), min(right - before, width))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        shape = (bottom - top, right - left, image.shape[2])
        return np.full(shape, mean).astype(image.dtype)
    borders = (
        max(above - top, 0),
        max(bottom - above - height, 0),
        max(before - left, 0),
        max(right - before - width, 0),
    )
    seen = image[rows, columns]
    if not any(borders):
        return seen
    value = np.array(mean).astype(image.dtype).tolist()
    return cv2.copyMakeBorder(seen, *borders, cv2.BORDER_CONSTANT, value=value)
