"""The backbones of the papers.

The names below are imported when they are first used: the tables alone need no torch.
"""

from importlib import import_module

_PLACES = {
    "MixConv2d": "mixconv",
    "MixNet": "networks",
    "MnasNet": "networks",
    "MobileBackbone": "backbone",
    "MobileNetV1": "networks",
    "MobileNetV2": "networks",
    "MobileNetV3": "networks",
    "Tap": "taps",
    "build_classifier": "classifier",
    "set_algorithm": "algorithms",
}
__all__ = list(_PLACES)


def __getattr__(name: str):
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
