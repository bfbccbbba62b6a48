"""State dicts of other libraries renamed to ours, and ours to theirs, by `rules`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mixnet_dense.backbones.arch import halve_tail, scale
from mixnet_dense.cli import InputError
from mixnet_dense.weights.catalogue import Origin, find
from mixnet_dense.weights.rules import Rule
from mixnet_dense.weights.shapes import shapes

_HEAD = ("classifier.", "hidden.")  # what `build_classifier` adds to a backbone


@dataclass
class Conversion:
    """What became of a state dict.

    Attributes:
        name: source and model.
        state_dict: ours.
        used: how many of their keys are in it; those of an unwanted classifier are not.
        missing: their keys that are not there.
        left_over: their keys that no rule names.
        misshapen: keys of ours with the shape found and the shape wanted.
    """

    name: str
    state_dict: dict[str, Tensor] = field(default_factory=dict)
    used: int = 0
    missing: list[str] = field(default_factory=list)
    left_over: list[str] = field(default_factory=list)
    misshapen: list[str] = field(default_factory=list)

    @property
    def faults(self) -> str:
        """One line that counts and names what is wrong, '' if nothing is."""
        parts = (
            _count("missing", self.missing),
            _count("not of this model", self.left_over),
            _count("of another shape", self.misshapen),
        )
        return "; ".join(part for part in parts if part)


def convert(
    state_dict: Mapping[str, Tensor], source: str, model: str, *, classifier: bool = False
) -> dict[str, Tensor]:
    """Rename a whole state dict to our keys.

    Args:
        state_dict: as that library's model gives it.
        source: ``'timm'``, ``'torchvision'``, ``'mmpretrain'``, ``'mmdet'``, ``'mmseg'`` or
            ``'tonylins'``.
        model: the name there, such as ``'mixnet_s'``; `catalogue.MODELS` has them all, and
            `catalogue.Origin.assumes` what a config needs for their weights.
        classifier: give the keys of `build_classifier` in place of the backbone's.

    Returns:
        A state dict that loads strictly into our backbone (with ``last`` among its taps;
        mmseg's MobileNetV2 has none) or into ``build_classifier``; for a whole detector or
        segmenter into mm's.

    Raises:
        InputError: an unknown source or model, or keys missing, left over or misshapen.
    """
    found = plan(state_dict, source, model, classifier=classifier)
    if found.faults:
        raise InputError(f"{found.name}: {found.faults}")
    return found.state_dict


def plan(
    state_dict: Mapping[str, Tensor], source: str, model: str, *, classifier: bool = False
) -> Conversion:
    """`convert` as far as it goes, with what is wrong instead of an exception."""
    origin = find(source, model)
    found = Conversion(f"{source} {model}")
    theirs = {
        key.removeprefix(origin.prefix): value
        for key, value in state_dict.items()
        if key.startswith(origin.prefix)
    }
    wanted, known = _shapes(origin), set()
    for rule in _rules(origin):
        unwanted = rule.ours.startswith(tuple(name[:-1] for name in _HEAD)) and not classifier
        for leaf in _leaves(theirs, wanted, rule, optional=unwanted):
            keys = [f"{module}.{leaf}" for module in rule.theirs]
            absent = [key for key in keys if key not in theirs]
            found.missing += absent
            if not absent:
                known.update(keys)
                found.used += 0 if unwanted else len(keys)
                _take(found, rule, leaf, [theirs[key] for key in keys], wanted)
    found.left_over = [key for key in theirs if key not in known]
    found.state_dict = _place(found.state_dict, classifier)
    return found


def revert(state_dict: Mapping[str, Tensor], source: str, model: str) -> dict[str, Tensor]:
    """Our state dict under the names of another library, the way back from `convert`.

    Args:
        state_dict: of our backbone, of ``build_classifier``, or of a whole model.
        source, model: as for `convert`.

    Raises:
        InputError: an unknown source or model, or a state dict of another network.
    """
    origin = find(source, model)
    ours = {key.removeprefix("backbone.") if not origin.whole else key: value
            for key, value in state_dict.items()}  # fmt: skip
    theirs, used = {}, set()
    for rule in _rules(origin):
        start = f"{rule.ours}."
        for key in [key for key in ours if key.startswith(start) and "." not in key[len(start) :]]:
            value = ours[key]
            parts = rule.change.back(value, len(rule.theirs)) if value.dim() else [value]
            for module, part in zip(rule.theirs, parts, strict=True):
                theirs[f"{origin.prefix}{module}.{key[len(start) :]}"] = part
            used.add(key)
    lost = [key for key in ours if key not in used]
    absent = [key for key in _shapes(origin) if key not in used]
    faults = [_count("missing", absent), _count("not of this model", lost)]
    if any(faults):
        raise InputError(f"{source} {model}: {'; '.join(filter(None, faults))}")
    return theirs


def _rules(origin: Origin) -> Iterator[Rule]:
    """The rules of what is built: of MobileNetV2 in mmseg not the last convolution."""
    for rule in origin.rules(origin.table):
        if not (rule.ours.startswith("last.") and "last" not in origin.taps):
            yield rule


def _shapes(origin: Origin) -> dict[str, tuple[int, ...]]:
    """Our keys of the backbone with their shapes, ``backbone.`` in front in a whole model."""
    options = origin.options
    network = origin.table
    if options.get("reduced_tail"):
        network = halve_tail(network)
    network = scale(network, options.get("width", 1.0), options.get("fixed_stem", False))
    start = "backbone." if origin.whole else ""
    found = shapes(network, last="last" in origin.taps)
    return {start + key: shape for key, shape in found.items()}


def _leaves(theirs: Mapping, wanted: Mapping, rule: Rule, optional: bool) -> Sequence[str]:
    """Names of a module's tensors: those that are there and those that must be."""
    found = {key for key in theirs if key.startswith(f"{rule.theirs[0]}.")}
    leaves = {key[len(rule.theirs[0]) + 1 :] for key in found}
    if optional and not leaves:
        return ()
    own = {key[len(rule.ours) + 1 :] for key in wanted if key.startswith(f"{rule.ours}.")}
    # Old checkpoints do not count batches; the count decides nothing at inference.
    own.discard("num_batches_tracked")
    return sorted(leaf for leaf in leaves | (own or {"weight"}) if "." not in leaf)


def _take(
    found: Conversion, rule: Rule, leaf: str, parts: Sequence[Tensor], wanted: Mapping
) -> None:
    key = f"{rule.ours}.{leaf}"
    try:
        value = rule.change.there(parts) if parts[0].dim() else parts[0]
    except (RuntimeError, ValueError) as error:
        found.misshapen.append(f"{key}: {error}")
        return
    if key in wanted and tuple(value.shape) != wanted[key]:
        found.misshapen.append(f"{key} {tuple(value.shape)} for {wanted[key]}")
        return
    found.state_dict[key] = value
    norm = rule.ours.endswith(".bn") and leaf == "running_mean"
    if norm and f"{rule.ours}.num_batches_tracked" in wanted:
        found.state_dict.setdefault(f"{rule.ours}.num_batches_tracked", torch.tensor(0))


def _place(ours: Mapping[str, Tensor], classifier: bool) -> dict[str, Tensor]:
    if classifier:
        return {k if k.startswith(_HEAD) else f"backbone.{k}": v for k, v in ours.items()}
    return {key: value for key, value in ours.items() if not key.startswith(_HEAD)}


def _count(kind: str, keys: Sequence[str]) -> str:
    return f"{len(keys)} keys {kind}, first '{keys[0]}'" if keys else ""
