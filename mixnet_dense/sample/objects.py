"""Objects of the embedded sample: a coin or a paper sticker, ready to be put in a scene."""

from typing import NamedTuple

import cv2
import numpy as np

from mixnet_dense.sample.materials import Coin, Digit, Materials

# Dark and bright end of each metal's colour, BGR.
_METALS = np.array(
    [
        [(18, 52, 82), (120, 208, 250)],  # gold
        [(52, 50, 48), (236, 236, 232)],  # silver
        [(20, 34, 74), (118, 158, 226)],  # copper
        [(24, 44, 56), (122, 176, 196)],  # bronze
        [(40, 54, 36), (150, 178, 148)],  # green patina
    ],
    dtype=np.float32,
)


class Cutout(NamedTuple):
    """An object on its own."""

    category: str
    source: str
    color: np.ndarray  # (h, w, 3) uint8 BGR
    alpha: np.ndarray  # (h, w) uint8


def draw_cutout(category: str, materials: Materials, rng: np.random.Generator) -> Cutout:
    """Make one object of ``category`` from a random coin or digit."""
    thing = materials[category][rng.integers(len(materials[category]))]
    color, alpha = (_draw_coin if isinstance(thing, Coin) else _draw_sticker)(thing, rng)
    return Cutout(category, thing.source, np.clip(color, 0, 255).astype(np.uint8), alpha)


def _draw_coin(coin: Coin, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Tint a grey coin with the colour of a metal, lit from one side."""
    dark, bright = _METALS[rng.integers(len(_METALS))] * rng.uniform(0.88, 1.12, 3)
    gray = coin.gray.astype(np.float32) / 255
    # Keep the relief visible but nothing pitch-black: old photographs are very contrasty.
    tone = (0.18 + 0.82 * gray) * _shading(gray.shape, 0.16, rng)
    color = dark + (bright - dark) * tone[..., None]
    # The museum's coins are 36 to 60 pixels wide: enlarge them once and sharpen.
    color = cv2.resize(color, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    color += 0.8 * (color - cv2.GaussianBlur(color, (0, 0), 2.0))
    return color, cv2.resize(coin.alpha, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)


def _draw_sticker(digit: Digit, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw a handwritten digit as a die-cut sticker whose paper follows the ink."""
    paper, ink = _paper_and_ink_colors(rng)
    alpha = np.clip((rng.uniform(7, 13) - digit.distance) * 255, 0, 255).astype(np.uint8)
    solid = (alpha > 127).astype(np.uint8)
    contours, _ = cv2.findContours(solid, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    # Filling the outlines closes the hole of a zero, so that the sticker is one piece.
    alpha = cv2.GaussianBlur(cv2.drawContours(alpha, contours, -1, 255, cv2.FILLED), (3, 3), 0)
    tone = _shading(alpha.shape, 0.12, rng)
    strength, half = rng.uniform(0.01, 0.05), (alpha.shape[0] // 2, alpha.shape[1] // 2)
    grain = rng.standard_normal(half, dtype=np.float32) * strength  # fibres of the paper
    tone *= 1 + cv2.resize(grain, alpha.shape[::-1], interpolation=cv2.INTER_LINEAR)
    cover = digit.ink[..., None].astype(np.float32) / 255
    return (paper + (ink - paper) * cover) * tone[..., None], alpha


def _paper_and_ink_colors(rng: np.random.Generator) -> np.ndarray:
    """Return two BGR colours (2, 3) float32 that contrast: dark on light or the reverse."""
    hue, ink_hue = rng.uniform(0, 180, 2)
    if rng.random() < 0.72:
        paper = (hue, rng.uniform(5, 130), rng.uniform(205, 255))
        ink = (ink_hue, rng.uniform(60, 255), rng.uniform(15, 85))
    else:
        paper = (hue, rng.uniform(90, 255), rng.uniform(40, 115))
        ink = (ink_hue, rng.uniform(0, 70), rng.uniform(225, 255))
    colors = cv2.cvtColor(np.array([[paper, ink]], np.uint8), cv2.COLOR_HSV2BGR)
    return colors[0].astype(np.float32)


def _shading(shape: tuple[int, int], strength: float, rng: np.random.Generator) -> np.ndarray:
    """Return (h, w) float32 around 1: light that falls off across the object."""
    angle = rng.uniform(0, 2 * np.pi)
    down = np.linspace(-1, 1, shape[0], dtype=np.float32)[:, None] * np.sin(angle)
    right = np.linspace(-1, 1, shape[1], dtype=np.float32)[None, :] * np.cos(angle)
    return (1 + strength * (down + right)).astype(np.float32)
