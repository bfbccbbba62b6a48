"""A segmenter's label maps as files and as pictures with a legend."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from mmseg.apis import inference_model
from PIL import Image
from torch import nn

from mixnet_dense.images import mask_name, write_image

_FONT, _FONT_SCALE = cv2.FONT_HERSHEY_SIMPLEX, 0.45
_LINE = 20  # pixels of a legend's line
_OPACITY = 0.55


class Masks:
    """Finds the class of every pixel of an image, draws it, and returns the shares.

    ``masks/NAME.png`` beside the picture has the class numbers as a palette image. A row
    names both files and gives each class's share of the pixels.

    Args:
        model: with ``dataset_meta``, see `predict.load_model`.
        annotated: label maps (H, W) by image path, drawn beside the prediction.
    """

    def __init__(self, model: nn.Module, annotated: Mapping[Path, np.ndarray]):
        self._model, self._annotated = model, annotated
        self._classes = model.dataset_meta["classes"]
        count = len(self._classes)
        palette = model.dataset_meta.get("palette")
        if palette is None or len(palette) != count:
            palette = np.random.default_rng(0).integers(0, 256, (count, 3))
        self._palette = np.asarray(palette, np.uint8)

    def __call__(self, path: Path, image: np.ndarray, picture: Path) -> list[dict]:
        """Of the image (H, W, 3), blue first, read from ``path``."""
        found = inference_model(self._model, image).pred_sem_seg.data[0]
        labels = found.cpu().numpy().astype(np.uint8)
        mask = mask_name(picture)
        mask.parent.mkdir(exist_ok=True)
        save_mask(mask, labels, self._palette)
        maps = {"predicted": labels}
        if path in self._annotated:
            maps = {"annotated": self._annotated[path], **maps}
        write_image(picture, draw_maps(image, maps, self._classes, self._palette))
        shares = np.bincount(labels.ravel(), minlength=len(self._classes)) / labels.size
        shares = zip(self._classes, shares.tolist(), strict=True)
        return [
            dict(
                file_name=str(path),
                picture=picture.name,
                mask=f"masks/{mask.name}",
                shares={name: round(share, 5) for name, share in shares if share},
            )
        ]


def save_mask(path: Path, labels: np.ndarray, palette: np.ndarray) -> None:
    """Write class numbers (H, W) uint8 as a PNG that shows them in ``palette``, (n, 3) RGB."""
    image = Image.fromarray(labels)
    image.putpalette(palette.tobytes())
    image.save(path)


def draw_maps(
    image: np.ndarray, maps: Mapping[str, np.ndarray], classes: Sequence[str], palette: np.ndarray
) -> np.ndarray:
    """Label maps over an image side by side, each under its name, and a legend below.

    Args:
        image: (H, W, 3) uint8, blue first.
        maps: names and class numbers (H, W); numbers without a class are not painted.
        classes: names.
        palette: (n, 3) uint8, red first.
    """
    panels = [overlay(image, labels, palette) for labels in maps.values()]
    if len(maps) > 1:
        for panel, name in zip(panels, maps, strict=True):
            _write(panel, name, (4, 14), (255, 255, 255), outline=True)
    present = np.unique(np.concatenate([labels.ravel() for labels in maps.values()]))
    shown = [number for number in present.tolist() if number < len(classes)]
    drawn = np.hstack(panels)
    return np.vstack([drawn, _legend(drawn.shape[1], shown, classes, palette)])


def overlay(image: np.ndarray, labels: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """The image (H, W, 3), blue first, tinted with the colour of each pixel's class."""
    known = labels < len(palette)
    colors = palette[np.where(known, labels, 0)][..., ::-1]
    tinted = cv2.addWeighted(image, 1 - _OPACITY, np.ascontiguousarray(colors), _OPACITY, 0)
    return np.where(known[..., None], tinted, image)


def _legend(
    width: int, numbers: Sequence[int], classes: Sequence[str], palette: np.ndarray
) -> np.ndarray:
    """A white strip of swatches with names, in as many lines as they need."""
    entries, x, line = [], 4, 0
    for number in numbers:
        (text, _), _ = cv2.getTextSize(classes[number], _FONT, _FONT_SCALE, 1)
        if x > 4 and x + 18 + text > width:
            x, line = 4, line + 1
        entries.append((number, x, line))
        x += 18 + text + 12
    strip = np.full(((line + 1) * _LINE, width, 3), 255, np.uint8)
    for number, x, line in entries:
        top = line * _LINE + 4
        color = tuple(int(value) for value in palette[number][::-1])
        cv2.rectangle(strip, (x, top), (x + 12, top + 12), color, cv2.FILLED)
        _write(strip, classes[number], (x + 18, top + 11), (0, 0, 0))
    return strip


def _write(image: np.ndarray, text: str, corner: tuple, color: tuple, outline=False) -> None:
    if outline:
        cv2.putText(image, text, corner, _FONT, _FONT_SCALE, (0, 0, 0), 3, cv2.LINE_AA)
    cv2.putText(image, text, corner, _FONT, _FONT_SCALE, color, 1, cv2.LINE_AA)
