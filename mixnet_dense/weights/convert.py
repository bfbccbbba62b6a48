"""State dicts of other libraries renamed to ours, and ours to theirs, by `rules`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mixnet_dense.backbones.arch import halve_tail, scale
from mixnet_dense.errors import InputError
from mixnet_dense.weights.catalogue import Origin, find
from mixnet_dense.weights.rules import COUNT, Rule
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
        outside: keys of theirs beside a backbone, such as a head; left out.
        misshapen: keys of ours with the shape found and the shape wanted.
    """

    name: str
    state_dict: dict[str, Tensor] = field(default_factory=dict)
    used: int = 0
    missing: list[str] = field(default_factory=list)
    left_over: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    misshapen: list[str] = field(default_factory=list)

    @property
    def faults(self) -> str:
        """One line that counts and names what is wrong, '' if nothing is."""
        return _faults(self.missing, self.left_over, self.misshapen)


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
    rules = list(_rules(origin))
    if classifier and not any(rule.ours == "classifier" for rule in rules):
        raise InputError(f"{source} {model}: its classifier is not converted, only its features")
    found = Conversion(f"{source} {model}")
    theirs = {}
    for key, value in state_dict.items():
        if key.startswith(origin.prefix):
            theirs[key.removeprefix(origin.prefix)] = value
        else:
            found.outside.append(key)
    wanted, known = _shapes(origin), set()
    for rule in rules:
        unwanted = _is_head(rule) and not classifier
        for leaf in rule.leaves:
            keys = [f"{module}.{leaf}" for module in rule.theirs]
            there = [key for key in keys if key in theirs]
            known.update(there)
            if unwanted or (leaf == COUNT and not there):
                continue
            found.missing += [key for key in keys if key not in theirs]
            if len(there) == len(keys):
                _take(found, rule, leaf, [theirs[key] for key in keys], wanted)
    found.left_over = [key for key in theirs if key not in known]
    if classifier:
        found.state_dict = {
            key if key.startswith(_HEAD) else f"backbone.{key}": value
            for key, value in found.state_dict.items()
        }
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
    wanted, theirs, used, absent, misshapen = _shapes(origin), {}, set(), [], []
    for rule in _rules(origin):
        for leaf in rule.leaves:
            key = f"{rule.ours}.{leaf}"
            if key not in ours:
                absent += [key] if leaf != COUNT and not _is_head(rule) else []
                continue
            value = ours[key]
            used.add(key)
            fault = _shape_fault(rule, key, value, wanted)
            if fault:
                misshapen.append(fault)
                continue
            parts = rule.change.back(value, len(rule.theirs)) if value.dim() else [value]
            for module, part in zip(rule.theirs, parts, strict=True):
                theirs[f"{origin.prefix}{module}.{leaf}"] = part
    lost = [key for key in ours if key not in used]
    faults = _faults(absent, lost, misshapen)
    if faults:
        raise InputError(f"{source} {model}: {faults}")
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


def _is_head(rule: Rule) -> bool:
    """Whether a rule is of what `build_classifier` adds to a backbone."""
    return f"{rule.ours}.".startswith(_HEAD)


def _take(
    found: Conversion, rule: Rule, leaf: str, parts: Sequence[Tensor], wanted: Mapping
) -> None:
    key = f"{rule.ours}.{leaf}"
    try:
        value = rule.change.there(parts) if parts[0].dim() else parts[0]
    except (RuntimeError, ValueError) as error:
        found.misshapen.append(f"{key}: {error}")
        return
    fault = _shape_fault(rule, key, value, wanted)
    if fault:
        found.misshapen.append(fault)
        return
    found.state_dict[key] = value
    found.used += len(parts)
    if leaf == "running_mean":  # stays 0 where theirs is not counted
        found.state_dict.setdefault(f"{rule.ours}.{COUNT}", torch.tensor(0))


def _shape_fault(rule: Rule, key: str, value: Tensor, wanted: Mapping) -> str:
    shape = tuple(value.shape)
    expected = wanted.get(key, shape)
    if rule.outputs is not None:
        expected = (rule.outputs, *shape[1:])
    return f"{key} {shape} for {expected}" if shape != expected else ""


def _faults(missing: Sequence[str], left_over: Sequence[str], misshapen: Sequence[str]) -> str:
    kinds = {"missing": missing, "not of this model": left_over, "of another shape": misshapen}
    return "; ".join(
        f"{len(keys)} keys {kind}, first '{keys[0]}'" for kind, keys in kinds.items() if keys
    )
