"""Smaller tables from a table, as pure functions; without torch.

MobileNetV3 section 4.2: a smaller expansion of one block, or a smaller bottleneck in all blocks
that share it. Ours: fewer kernel sizes in one mixed convolution (MixConv section 4.1).
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from mixnet_dense.backbones.arch import Block, Network, partition_channels

STEM = -1  # the bottleneck before block 0
_MORE = 1.5


class Proposal(NamedTuple):
    """A table and what was done for it, such as ``block 3: expansion 240 to 200``."""

    what: str
    network: Network


def shared_bottlenecks(network: Network) -> list[list[int]]:
    """The blocks whose outputs have the same channels because residuals add them.

    The stem's output is `STEM`. The last bottleneck is one of them.
    """
    groups = [[STEM]]
    for index, block in enumerate(network.blocks):
        if block.residual:
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups


def with_expansion(network: Network, index: int, channels: int) -> Network | None:
    """One block with another expansion; None if the table then is another kind of network."""
    if not network.blocks[index].expands:
        return None
    blocks = list(network.blocks)
    blocks[index] = replace(blocks[index], expansion=channels)
    return _same_kind(network, replace(network, blocks=tuple(blocks)))


def with_bottleneck(network: Network, group: Sequence[int], channels: int) -> Network | None:
    """Other output channels of all blocks of a shared bottleneck; what reads them follows.

    None if the table then is another kind of network: for example with a residual more, because
    input and output are now equal.
    """
    blocks = list(network.blocks)
    for index in group:
        if index != STEM:
            blocks[index] = replace(blocks[index], out_channels=channels)
        if index + 1 < len(blocks):
            after = blocks[index + 1]
            width = after.expansion if after.expands else channels
            blocks[index + 1] = replace(after, in_channels=channels, expansion=width)
    stem = channels if STEM in group else network.stem
    return _same_kind(network, replace(network, stem=stem, blocks=tuple(blocks)))


def with_fewer_kernels(network: Network, index: int, count: int) -> Network:
    """One block with the ``count`` smallest of its kernel sizes."""
    blocks = list(network.blocks)
    kernels = tuple(sorted(blocks[index].kernels)[:count])
    blocks[index] = replace(blocks[index], kernels=kernels)
    return replace(network, blocks=tuple(blocks))


def snapped(channels: int, divisor: int = 8) -> range:
    """The multiples of ``divisor`` below ``channels``, the largest first."""
    return range((channels - 1) // divisor * divisor, 0, -divisor)


def propose(
    network: Network, ms: Callable[[Network], float], wanted: float, divisor: int = 8
) -> Iterator[Proposal]:
    """For each block and each bottleneck a smaller table that saves enough, see `first_saving`.

    Args:
        ms: the latency of a table.
        wanted: latency of this step's tables, at most.
        divisor: of all new numbers of channels.
    """
    now, places = ms(network), choices(network, divisor).values()
    return filter(None, (first_saving(smaller, ms, now, wanted) for smaller in places))


def choices(network: Network, divisor: int = 8) -> dict[str, list[Proposal]]:
    """All smaller tables by the place that changes, such as ``block 3: expansion``.

    Those of a place are in order, the largest first.
    """
    found = {}
    for index, block in enumerate(network.blocks):
        tables = [(c, with_expansion(network, index, c)) for c in snapped(block.expansion, divisor)]
        found[f"block {index}: expansion"] = block.expansion, tables
        counts = range(len(block.kernels) - 1, 0, -1)
        fewer = [with_fewer_kernels(network, index, count) for count in counts]
        tables = [(table.blocks[index].kernels, table) for table in fewer]
        found[f"block {index}: kernels"] = block.kernels, tables
    for group in shared_bottlenecks(network):
        own = network.stem if group[0] == STEM else network.blocks[group[0]].out_channels
        tables = [(c, with_bottleneck(network, group, c)) for c in snapped(own, divisor)]
        names = ", ".join("stem" if index == STEM else str(index) for index in group)
        found[f"bottleneck of {names}:"] = own, tables
    return {
        place: [Proposal(f"{place} {old} to {new}", table) for new, table in tables if table]
        for place, (old, tables) in found.items()
    }


def first_saving(
    proposals: Sequence[Proposal], ms: Callable[[Network], float], now: float, wanted: float
) -> Proposal | None:
    """The first of a place's proposals that saves enough; None if none does.

    As each latency may take seconds to measure, few are: where the line between two known ones
    meets ``wanted``. One that saves at most `_MORE` times as much as it should is taken at once,
    though a larger table may save enough, too.

    Args:
        proposals: the largest table first.
        ms: the latency of a table; a smaller table is taken to be the faster one.
        now: latency before.
        wanted: see `propose`.
    """
    high = len(proposals) - 1
    if high < 0 or (fast := ms(proposals[high].network)) > wanted:
        return None
    low, slow, least = -1, now, now - _MORE * (now - wanted)
    while high - low > 1 and fast < least:
        place = low + math.ceil((high - low) * (slow - wanted) / (slow - fast))
        place = min(max(place, low + 1), high - 1)
        found = ms(proposals[place].network)
        if found <= wanted:
            high, fast = place, found
        else:
            low, slow = place, found
    return proposals[high]


def _same_kind(old: Network, new: Network) -> Network | None:
    """``new``, if it has the layers and residuals of ``old`` and all channel groups can be."""
    pairs = zip(old.blocks, new.blocks, strict=True)
    same = all((a.expands, a.residual) == (b.expands, b.residual) for a, b in pairs)
    return new if same and all(map(_divides, new.blocks)) else None


def _divides(block: Block) -> bool:
    grouped = [(block.project_groups, block.expansion, block.out_channels)]
    if block.expands:
        grouped.append((block.expand_groups, block.in_channels, block.expansion))
    filled = block.expansion >= len(block.kernels)
    return filled and all(inputs % n == outputs % n == 0 for n, inputs, outputs in grouped)


def kept_channels(
    importance: Sequence[float], old_cuts: Sequence[int], new_cuts: Sequence[int]
) -> list[int]:
    """Which channels stay, in order: the most important of each group.

    Args:
        importance: of each old channel.
        old_cuts, new_cuts: where groups end, in the old and in the new channels; the last ends
            with the channels. If a new group would be larger than its old one, groups do not count.

    For example of six channels in two groups, (3, 6), four in (2, 4): two of each.
    """
    old, new = _sizes(old_cuts), _sizes(new_cuts)
    if len(old) != len(new) or any(n > o for o, n in zip(old, new, strict=True)):
        old, new = [sum(old)], [sum(new)]
    kept, start = [], 0
    for size, count in zip(old, new, strict=True):
        ranked = sorted(range(start, start + size), key=lambda index: (-importance[index], index))
        kept += sorted(ranked[:count])
        start += size
    return kept


def expansion_cuts(block: Block, partition: str = "equal") -> list[int]:
    """Where the channel groups of an expansion end: of its 1x1 convolutions and its kernels."""
    ends, end = {0, block.expansion}, 0
    for size in partition_channels(block.expansion, len(block.kernels), partition):
        ends.add(end := end + size)
    for groups in (block.project_groups, block.expand_groups if block.expands else 1):
        ends.update(range(0, block.expansion, block.expansion // groups))
    return sorted(ends)


def bottleneck_cuts(network: Network, group: Sequence[int], channels: int) -> list[int]:
    """Where the channel groups of a shared bottleneck end, for all that write or read it."""
    counts = [network.blocks[index].project_groups for index in group if index != STEM]
    readers = [network.blocks[index + 1] for index in group if index + 1 < len(network.blocks)]
    counts += [block.expand_groups for block in readers if block.expands]
    count = math.lcm(*counts)
    return list(range(0, channels + 1, channels // count if channels % count == 0 else channels))


def _sizes(cuts: Sequence[int]) -> list[int]:
    ends = [0, *(cut for cut in cuts if cut)]
    return [end - start for start, end in zip(ends, ends[1:], strict=False)]
