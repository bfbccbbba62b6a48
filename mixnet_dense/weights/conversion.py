"""Convert state dicts of other libraries to our keys, and ours to theirs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mixnet_dense.errors import InputError, first_line
from mixnet_dense.weights.catalogue import Origin, find
from mixnet_dense.weights.rules import COUNT, Rule, backbone_rules


@dataclass
class Conversion:
    """The result of converting a state dict.

    Attributes:
        name: source and model.
        state_dict: ours.
        used: how many of their keys it has; keys of an unwanted classifier do not count.
        missing: their keys that are not there.
        left_over: their keys that no rule names.
        outside: their keys that are not of the backbone, such as a head's; left out.
        mismatched: our keys, each with the shape found and the shape wanted.
    """

    name: str
    state_dict: dict[str, Tensor] = field(default_factory=dict)
    used: int = 0
    missing: list[str] = field(default_factory=list)
    left_over: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    mismatched: list[str] = field(default_factory=list)

    @property
    def faults(self) -> str:
        """One line that counts and names what is wrong, '' if nothing is."""
        return faults(self.missing, self.left_over, self.mismatched)


def faults(missing: Sequence[str], left_over: Sequence[str], mismatched: Sequence[str]) -> str:
    """One line that counts faulty keys and names the first of each kind, '' for none."""
    kinds = {"missing": missing, "not of this model": left_over, "of another shape": mismatched}
    return "; ".join(
        f"{len(keys)} keys {kind}, first '{keys[0]}'" for kind, keys in kinds.items() if keys
    )


def convert(
    state_dict: Mapping[str, Tensor], source: str, model: str, *, classifier: bool = False
) -> dict[str, Tensor]:
    """Rename a whole state dict to our keys.

    Args:
        state_dict: as the library's model gives it.
        source: a key of `catalogue.ORIGINS`, such as ``'timm'``. For ``'tensorflow'`` the state
            dict comes from `tensorflow_rules.layers`.
        model: the model's name there, such as ``'mixnet_s'``. `catalogue.Origin.assumes` says
            what a config needs for its weights.
        classifier: give the keys of `build_classifier`, not the backbone's.

    Returns:
        A state dict that loads strictly into our backbone with ``last`` among its taps
        (mmseg's MobileNetV2 does not have it), into that of ``build_classifier``, or into
        the detector or segmenter of mmdet or mmseg.

    Raises:
        InputError: an unknown source or model, or keys that are missing, left over or of
            another shape.
    """
    found = plan(state_dict, source, model, classifier=classifier)
    if found.faults:
        raise InputError(f"{found.name}: {found.faults}")
    return found.state_dict


def plan(
    state_dict: Mapping[str, Tensor], source: str, model: str, *, classifier: bool = False
) -> Conversion:
    """`convert` what can be converted, and say what is wrong instead of raising."""
    origin = find(source, model)
    if classifier and not any(rule.ours == "classifier" for rule in origin.names.after):
        raise InputError(f"{source} {model}: its classifier is not converted, only its features")
    found, theirs = Conversion(f"{source} {model}"), {}
    for key, value in state_dict.items():
        if key.startswith(origin.prefix):
            theirs[key.removeprefix(origin.prefix)] = value
        else:
            found.outside.append(key)
    start = "backbone." if origin.whole or classifier else ""
    expected = _expected(origin, start)
    for key, names, rule in _keys(origin, start):
        parts = [theirs.pop(name) if name in theirs else None for name in names]
        if rule in origin.names.after and not start:
            continue  # an unwanted classifier
        missing = [name for name, part in zip(names, parts, strict=True) if part is None]
        if not missing:
            _take(found, key, rule, parts, expected)
        elif not key.endswith(COUNT):
            found.missing += missing
        elif key.replace(COUNT, "running_mean") in found.state_dict:
            found.state_dict[key] = torch.tensor(0)
    found.left_over = list(theirs)
    return found


def revert(state_dict: Mapping[str, Tensor], source: str, model: str) -> dict[str, Tensor]:
    """Our state dict under the names of another library: the inverse of `convert`.

    Args:
        state_dict: of our backbone, of ``build_classifier``, or of a whole model.
        source, model: as for `convert`.

    Raises:
        InputError: an unknown source or model, or a state dict of another network.
    """
    origin = find(source, model)
    start = "backbone." if origin.whole else ""
    ours = {key if start else key.removeprefix("backbone."): state_dict[key] for key in state_dict}
    expected, theirs, missing, mismatched = _expected(origin, start), {}, [], []
    for key, names, rule in _keys(origin, start):
        value = ours.pop(key, None)
        if value is None:
            optional = key.endswith(COUNT) or (rule in origin.names.after and not start)
            missing += [] if optional else [key]
        elif _mismatch(key, value, rule, expected):
            mismatched.append(_mismatch(key, value, rule, expected))
        else:
            names = [origin.prefix + name for name in names]
            theirs.update(zip(names, rule.inverse(value), strict=True))
    wrong = faults(missing, list(ours), mismatched)
    if wrong:
        raise InputError(f"{source} {model}: {wrong}")
    return theirs


def _keys(origin: Origin, start: str) -> Iterator[tuple[str, list[str], Rule]]:
    """Our keys, theirs for each, and the rule between them; see `backbone_rules`."""
    for rule in (*backbone_rules(origin.table, origin.names, start), *origin.names.after):
        for tensor in rule.tensors:
            yield f"{rule.ours}.{tensor}", [f"{name}.{tensor}" for name in rule.theirs], rule


def _expected(origin: Origin, start: str) -> dict[str, tuple[int, ...]]:
    """The shapes of our backbone's tensors."""
    return {start + key: tuple(value.shape) for key, value in origin.expected().items()}


def _take(
    found: Conversion, key: str, rule: Rule, parts: Sequence[Tensor], expected: Mapping
) -> None:
    try:
        value = rule.forward(parts)
    except RuntimeError as error:  # groups of mismatched shapes
        found.mismatched.append(f"{key}: {first_line(error)}")
        return
    mismatch = _mismatch(key, value, rule, expected)
    if mismatch:
        found.mismatched.append(mismatch)
    else:
        found.state_dict[key] = value
        found.used += len(parts)


def _mismatch(key: str, value: Tensor, rule: Rule, expected: Mapping) -> str:
    """The shape found and the shape wanted; '' if they are equal or any shape is allowed."""
    shape = tuple(value.shape)
    wanted = (rule.outputs, *shape[1:]) if rule.outputs else expected.get(key, shape)
    return f"{key} {shape} for {wanted}" if shape != wanted else ""
