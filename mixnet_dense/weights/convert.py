"""State dicts of other libraries renamed to ours, by rule over the network tables.

The rules name modules; a parameter or buffer keeps its last name part. A grouped 1x1
convolution of ours is several convolutions there, concatenated along the outputs.
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from mixnet_dense.backbones import arch
from mixnet_dense.cli import InputError

_TABLES = {f"mixnet_{size}": table for size, table in arch.MIXNET.items()}

Rule = tuple[str, list[str]]


def convert(
    state_dict: Mapping[str, Tensor], source: str, model: str, *, classifier: bool = False
) -> dict[str, Tensor]:
    """Rename a whole state dict to our keys.

    Args:
        state_dict: as that library's model gives it.
        source: ``'timm'``.
        model: the name there, such as ``'mixnet_s'`` or ``'tf_mixnet_m'``. Weights named
            tf_* need ``padding='same'`` and ``norm_cfg=dict(type='BN', eps=1e-3)``.
        classifier: give the keys of `build_classifier` in place of the backbone's.

    Returns:
        A state dict that loads strictly into our backbone (with ``last`` among its
        taps), or into ``build_classifier(model)``.

    Raises:
        InputError: an unknown source or model, or keys missing, left over or misshapen.
    """
    if source not in _RULES:
        raise InputError(f"source '{source}': must be one of {', '.join(_RULES)}")
    table = _TABLES.get(model.removeprefix("tf_"))
    if table is None:
        raise InputError(f"model '{model}': must be one of {', '.join(_TABLES)} (or tf_ of it)")
    ours, used = {}, set()
    for name, theirs in _RULES[source](table):
        for leaf in _leaves(state_dict, theirs[0]):
            keys = [f"{module}.{leaf}" for module in theirs]
            missing = [key for key in keys if key not in state_dict]
            if missing:
                raise InputError(f"{source} {model}: key '{missing[0]}' is missing")
            used.update(keys)
            parts = [state_dict[key] for key in keys]
            ours[f"{name}.{leaf}"] = parts[0] if len(parts) == 1 else torch.cat(parts)
    left = [key for key in state_dict if key not in used]
    if left:
        raise InputError(f"{source} {model}: {len(left)} keys not of this model, first '{left[0]}'")
    if classifier:
        return {k if k.startswith("classifier.") else f"backbone.{k}": v for k, v in ours.items()}
    return {key: value for key, value in ours.items() if not key.startswith("classifier.")}


def _leaves(state_dict: Mapping[str, Tensor], module: str) -> list[str]:
    start = module + "."
    leaves = [key[len(start) :] for key in state_dict if key.startswith(start)]
    leaves = [leaf for leaf in leaves if "." not in leaf]
    if not leaves:
        raise InputError(f"key '{start}weight' is missing")
    return leaves


def _timm(table: arch.Network) -> Iterator[Rule]:
    """Our module names and timm's; a timm stage is a run of equal output channels."""
    yield "stem.conv", ["conv_stem"]
    yield "stem.bn", ["bn1"]
    stage, place, channels = -1, 0, None
    for index, block in enumerate(table.blocks):
        stage, place = (stage, place + 1) if block.out_channels == channels else (stage + 1, 0)
        channels = block.out_channels
        yield from _timm_block(block, f"blocks.{index}", f"blocks.{stage}.{place}")
    yield "last.conv", ["conv_head"]
    yield "last.bn", ["bn2"]
    yield "classifier", ["classifier"]


def _timm_block(block: arch.Block, ours: str, theirs: str) -> Iterator[Rule]:
    expands = block.expansion != block.in_channels
    if expands:
        yield f"{ours}.expand.conv", _split(f"{theirs}.conv_pw", block.expand_groups)
        yield f"{ours}.expand.bn", [f"{theirs}.bn1"]
    kernels = _split(f"{theirs}.conv_dw", len(block.kernels))
    for index, kernel in enumerate(kernels):
        yield f"{ours}.depthwise.conv.{index}", [kernel]
    yield f"{ours}.depthwise.bn", [f"{theirs}.bn{1 + expands}"]
    if block.squeeze:
        yield f"{ours}.se.reduce", [f"{theirs}.se.conv_reduce"]
        yield f"{ours}.se.expand", [f"{theirs}.se.conv_expand"]
    project = _split(f"{theirs}.conv_pw{'l' * expands}", block.project_groups)
    yield f"{ours}.project.conv", project
    yield f"{ours}.project.bn", [f"{theirs}.bn{2 + expands}"]


def _split(name: str, parts: int) -> list[str]:
    return [name] if parts == 1 else [f"{name}.{part}" for part in range(parts)]


_RULES = {"timm": _timm}
