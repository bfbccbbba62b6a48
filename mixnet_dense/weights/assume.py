"""Whether a config has what weights assume: padding, batch norm, image scaling."""

from collections.abc import Mapping

_BACKBONE = {"type": None, "arch": None, "width": 1.0, "fixed_stem": False, "padding": "symmetric"}
# Said where the weights name them: those of whole models and of dilated backbones.
_LAYOUT = {"output_stride": 32, "dilate_strided": False, "reduced_tail": None}
_EPS = 1e-5


def mismatches(model: Mapping, assumes: Mapping) -> list[str]:
    """What a model config has other than its weights assume, a line each.

    Args:
        model: the config's ``model``, with ``backbone`` and ``data_preprocessor``.
        assumes: see `catalogue.Origin.assumes`.
    """
    wanted, found = assumes["backbone"], model["backbone"]
    pairs = [
        (f"backbone.{name}", wanted.get(name, usual), found.get(name, usual))
        for name, usual in _BACKBONE.items()
        if wanted.get(name, usual) is not None and found.get(name, usual) is not None
    ]
    pairs += [
        (f"backbone.{name}", wanted[name], found.get(name, usual))
        for name, usual in _LAYOUT.items()
        if name in wanted
    ]
    eps = (found.get("norm_cfg") or {}).get("eps", _EPS)
    pairs.append(("backbone.norm_cfg.eps", wanted["norm_cfg"]["eps"], eps))
    own = model.get("data_preprocessor") or {}
    pairs += [
        (f"data_preprocessor.{name}", value, own.get(name, False if name == "bgr_to_rgb" else None))
        for name, value in assumes["data_preprocessor"].items()
    ]
    return [
        f"{name} is {_plain(have)}, the weights assume {_plain(want)}"
        for name, want, have in pairs
        if _plain(want) != _plain(have)
    ]


def _plain(value):
    """Lists and tuples alike, numbers to six digits, names without their scope."""
    if isinstance(value, str):
        return value.rpartition(".")[2]
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(f"{value:.6g}")
    return value
