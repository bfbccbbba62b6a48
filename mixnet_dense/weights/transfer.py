"""Begin a training from a trained model whose head has other classes.

A head names its convolutions with outputs for classes in ``class_convs``: name to the number of
outputs that follow those of the classes (1 for SSDLite's background). The outputs of such a
convolution are groups, one for each anchor of a place, and a group has one output for each class.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

from mixnet_dense.errors import InputError, shorten


@dataclass
class Fit:
    """What of a checkpoint fits a model.

    Attributes:
        state_dict: of the whole model; what does not fit has the model's own values.
        kept: keys whose tensors are the checkpoint's.
        parted: keys of class convolutions that have the checkpoint's outputs of common classes.
        anew: all other keys.
    """

    state_dict: dict[str, Tensor] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)
    parted: list[str] = field(default_factory=list)
    anew: list[str] = field(default_factory=list)


def fit(
    state: Mapping[str, Tensor],
    classes: Sequence[str],
    own: Mapping[str, Tensor],
    own_classes: Sequence[str],
    class_convs: Mapping[str, int],
) -> Fit:
    """Take from a checkpoint what a model has under equal names and shapes, and classes by name.

    Args:
        state, classes: of the checkpoint. Without names its classes count as the model's.
        own, own_classes: of the model.
        class_convs: see above, with their full names in the model.
    """
    found = Fit()
    for key, value in own.items():
        theirs, extra = state.get(key), class_convs.get(key.rpartition(".")[0])
        by_class = extra is not None and classes and tuple(classes) != tuple(own_classes)
        if theirs is not None and by_class:
            theirs = _by_class(
                theirs, (*classes, *range(extra)), value, (*own_classes, *range(extra))
            )
        fits = theirs is not None and theirs.shape == value.shape
        (found.anew if not fits else found.parted if by_class else found.kept).append(key)
        found.state_dict[key] = theirs if fits else value
    return found


def _by_class(theirs: Tensor, slots: Sequence, own: Tensor, own_slots: Sequence) -> Tensor | None:
    """``own`` with the outputs of common slots from ``theirs``; None if there can be none."""
    groups, common = len(own) // len(own_slots), [name for name in own_slots if name in slots]
    sizes = (groups * len(slots), groups * len(own_slots))
    if not common or (len(theirs), len(own)) != sizes or theirs.shape[1:] != own.shape[1:]:
        return None
    places = [own_slots.index(name) for name in common]
    rows = own.reshape(groups, len(own_slots), -1).clone()
    source = theirs.reshape(groups, len(slots), -1).to(own)
    rows[:, places] = source[:, [slots.index(name) for name in common]]
    return rows.reshape(own.shape)


def fit_checkpoint(
    checkpoint: Mapping, model: nn.Module, own_classes: Sequence[str]
) -> tuple[dict[str, Tensor], str]:
    """`fit` a checkpoint of mmengine to a model, and say in one line what was kept.

    Args:
        checkpoint: with ``state_dict``, or a state dict; class names are in ``meta.dataset_meta``.
        model: with its initial weights.
        own_classes: the names of the model's classes, in order.

    Raises:
        InputError: fewer than half of the backbone's tensors fit, or of the model's if it has no
            backbone.
    """
    state = checkpoint.get("state_dict", checkpoint)
    state = {key.removeprefix("module."): value for key, value in state.items()}
    classes = ((checkpoint.get("meta") or {}).get("dataset_meta") or {}).get("classes") or ()
    class_convs = {
        f"{name}.{conv}": extra
        for name, module in model.named_modules()
        for conv, extra in getattr(module, "class_convs", {}).items()
    }
    found = fit(state, classes, model.state_dict(), own_classes, class_convs)
    prefix = "backbone." if hasattr(model, "backbone") else ""
    counted = [key for key in model.state_dict() if key.startswith(prefix)]
    fitting = len({*counted}.intersection(found.kept))
    if 2 * fitting < len(counted):
        raise InputError(
            f"is of another network: {fitting} of {len(counted)} tensors of the backbone fit; a "
            "backbone's own weights belong into model.backbone.init_cfg"
        )
    return found.state_dict, _summary(found, classes, own_classes)


def _summary(found: Fit, classes: Sequence[str], own_classes: Sequence[str]) -> str:
    line = f"{len(found.kept)} of {len(found.state_dict)} tensors kept"
    if found.parted:
        line += f", {len(found.parted)} in part"
    if classes and tuple(classes) != tuple(own_classes):
        kept = [name for name in own_classes if name in classes]
        new = [name for name in own_classes if name not in classes]
        line += f"; classes kept: {shorten(kept) or 'none'}; new: {shorten(new) or 'none'}"
    if found.anew:
        line += f"; {len(found.anew)} start anew, first '{found.anew[0]}'"
    return line
