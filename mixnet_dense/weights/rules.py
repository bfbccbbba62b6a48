"""Rules that map the modules of our networks to those of another library.

`backbone_rules` makes them from one of our tables and a library's `Names`; see `names`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import torch
from torch import Tensor

from mixnet_dense.backbones.arch import Block, Network

COUNT = "num_batches_tracked"  # old checkpoints lack it; inference does not use it
# COCO's class outputs of torchvision and TensorFlow, by id: the background is the first there.
BACKGROUND_LAST = (*range(1, 91), 0)
_NORM = ("weight", "bias", "running_mean", "running_var", COUNT)
_BIASED = ("weight", "bias")

Pair = tuple[str, str]  # names of a convolution and its batch norm, if nothing else is said


@dataclass(frozen=True)
class Rule:
    """One module of ours, and the modules of another library with the same weights.

    Attributes:
        ours: our module.
        theirs: their modules; a grouped convolution may have one for each group.
        tensors: the names of the tensors in each of them.
        outputs: the first dimension of each tensor, if the number of classes decides it.
        linear: theirs is a linear layer, ours a 1x1 convolution.
        order: for outputs in groups of this length: our output i is theirs at ``order[i]``.
    """

    ours: str
    theirs: tuple[str, ...]
    tensors: tuple[str, ...] = ("weight",)
    outputs: int | None = None
    linear: bool = False
    order: tuple[int, ...] = ()

    def forward(self, parts: Sequence[Tensor]) -> Tensor:
        """Our tensor, made of theirs."""
        ours = parts[0] if len(parts) == 1 else torch.cat(tuple(parts))
        if self.linear and ours.dim() == 2:
            ours = ours[..., None, None]
        # the caller reports a wrong number of outputs
        return _pick(ours, self.order) if ours.shape[:1] == (self.outputs,) else ours

    def inverse(self, ours: Tensor) -> Sequence[Tensor]:
        """Their tensors, made of ours."""
        if self.linear and ours.dim() == 4:
            ours = ours.flatten(1)
        ours = _pick(ours, sorted(range(len(self.order)), key=self.order.__getitem__))
        return [ours] if len(self.theirs) == 1 else ours.chunk(len(self.theirs))


def _pick(outputs: Tensor, order: Sequence[int]) -> Tensor:
    if not order:
        return outputs
    groups = outputs.reshape(-1, len(order), *outputs.shape[1:])
    return groups[:, list(order)].reshape(outputs.shape)


def conv_norm(ours: str, theirs: Sequence[str], groups: int = 1) -> Iterator[Rule]:
    """Rules of a convolution and its batch norm."""
    yield Rule(f"{ours}.conv", _groups(theirs[0], groups))
    yield Rule(f"{ours}.bn", (theirs[1],), _NORM)


def _groups(name: str, count: int) -> tuple[str, ...]:
    return (name,) if count == 1 else tuple(f"{name}.{group}" for group in range(count))


def biased(ours: str, theirs: str, **options) -> Rule:
    """The rule of a layer with a bias; the options are further attributes of `Rule`."""
    return Rule(ours, (theirs,), _BIASED, **options)


# ------------------------------------------------------------------ backbones


@dataclass(frozen=True)
class Names:
    """What a library calls the modules of a backbone, and rules for what comes after it.

    Names have fields. ``{number}`` counts the blocks from 1, ``{index}`` from 0. Neighbouring
    blocks with equal output channels are a stage: ``{stage}`` counts stages from 0, ``{layer}``
    from 1, and ``{place}`` the blocks of a stage from 0. ``{part}`` counts the parts of a block
    from 0: expansion, depthwise convolution, squeeze-and-excitation, projection, as far as it
    has them.

    Attributes:
        stem: the first convolution.
        block: what all names of a block begin with.
        parts: expansion, depthwise convolution and projection.
        plain: depthwise convolution and projection of a block without expansion.
        last: the last convolution; its number and stage are those of one more block and
            stage. None if there is none.
        squeeze: the two convolutions of a squeeze-and-excitation.
        after: rules of the classifier, or of the neck and head of a whole model.
        rename: makes the final name of each of these.
    """

    stem: Pair
    block: str
    parts: tuple[Pair, Pair, Pair]
    plain: tuple[Pair, Pair]
    last: Pair | None
    squeeze: Pair = ("", "")
    after: tuple[Rule, ...] = ()
    rename: Callable[[str], str] = str


def backbone_rules(table: Network, names: Names, start: str) -> Iterator[Rule]:
    """The rules of a backbone; our names begin with ``start``."""
    for rule in _backbone_rules(table, names):
        theirs = tuple(names.rename(name) for name in rule.theirs)
        yield replace(rule, ours=start + rule.ours, theirs=theirs)


def _backbone_rules(table: Network, names: Names) -> Iterator[Rule]:
    yield from conv_norm("stem", names.stem)
    runs = groupby(enumerate(table.blocks, 1), lambda pair: pair[1].out_channels)
    for stage, (_, run) in enumerate(runs):
        for place, (number, block) in enumerate(run):
            fields = dict(number=number, index=number - 1, place=place)
            fields |= dict(stage=stage, layer=stage + 1)
            yield from _block_rules(block, f"blocks.{number - 1}", names, fields)
    if table.last and names.last:
        fields = dict(number=number + 1, stage=stage + 1)
        yield from conv_norm("last", [name.format(**fields) for name in names.last])


def _block_rules(block: Block, ours: str, names: Names, fields: Mapping) -> Iterator[Rule]:
    pairs = list(names.parts if block.expands else names.plain)
    if block.squeeze:
        pairs.insert(-1, names.squeeze)
    pairs = [
        [(names.block + name).format(part=part, **fields) for name in pair]
        for part, pair in enumerate(pairs)
    ]
    if block.expands:
        yield from conv_norm(f"{ours}.expand", pairs.pop(0), block.expand_groups)
    conv, norm = pairs.pop(0)
    for group, kernel in enumerate(_groups(conv, len(block.kernels))):
        yield Rule(f"{ours}.depthwise.conv.{group}", (kernel,))
    yield Rule(f"{ours}.depthwise.bn", (norm,), _NORM)
    if block.squeeze:
        for child, name in zip(("reduce", "expand"), pairs.pop(0), strict=True):
            yield biased(f"{ours}.se.{child}", name)
    yield from conv_norm(f"{ours}.project", pairs.pop(0), block.project_groups)
