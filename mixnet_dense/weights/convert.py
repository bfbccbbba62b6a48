"""State dicts of other libraries renamed to ours, by the rules of `rules`."""

from collections.abc import Mapping

from torch import Tensor

from mixnet_dense.cli import InputError
from mixnet_dense.weights.rules import MODELS

_HEAD = ("classifier.", "hidden.")  # what `build_classifier` adds to a backbone


def convert(
    state_dict: Mapping[str, Tensor], source: str, model: str, *, classifier: bool = False
) -> dict[str, Tensor]:
    """Rename a whole state dict to our keys.

    Args:
        state_dict: as that library's model gives it.
        source: ``'timm'`` or ``'torchvision'``.
        model: the name there, such as ``'mixnet_s'``. timm's tf_* need
            ``padding='same'`` and ``norm_cfg=dict(type='BN', eps=1e-3)``.
        classifier: give the keys of `build_classifier` in place of the backbone's.

    Returns:
        A state dict that loads strictly into our backbone (with ``last`` among its taps)
        or into ``build_classifier``; for a whole detector, into the mmdet detector.

    Raises:
        InputError: an unknown source or model, or keys missing or left over.
    """
    if source not in MODELS:
        raise InputError(f"source '{source}': must be one of {', '.join(MODELS)}")
    if model not in MODELS[source]:
        raise InputError(f"model '{model}': must be one of {', '.join(MODELS[source])}")
    rule_of, table = MODELS[source][model]
    ours, used = {}, set()
    for rule in rule_of(table):
        for leaf in _leaves(state_dict, rule.theirs[0]):
            keys = [f"{module}.{leaf}" for module in rule.theirs]
            missing = [key for key in keys if key not in state_dict]
            if missing:
                raise InputError(f"{source} {model}: key '{missing[0]}' is missing")
            used.update(keys)
            parts = [state_dict[key] for key in keys]
            ours[f"{rule.ours}.{leaf}"] = rule.change(parts) if parts[0].dim() else parts[0]
    left = [key for key in state_dict if key not in used]
    if left:
        raise InputError(f"{source} {model}: {len(left)} keys not of this model, first '{left[0]}'")
    if classifier:
        return {k if k.startswith(_HEAD) else f"backbone.{k}": v for k, v in ours.items()}
    return {key: value for key, value in ours.items() if not key.startswith(_HEAD)}


def _leaves(state_dict: Mapping[str, Tensor], module: str) -> list[str]:
    start = module + "."
    leaves = [key[len(start) :] for key in state_dict if key.startswith(start)]
    leaves = [leaf for leaf in leaves if "." not in leaf]
    if not leaves:
        raise InputError(f"key '{start}weight' is missing")
    return leaves
