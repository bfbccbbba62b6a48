"""A network's table as a file: JSON with a block in each line, read as ``arch='found.json'``.

The table is the one that is built: width, tail reduction, other kernels and activations are in it
already. ``taps`` are the channels of its named maps, ``history`` says how it came about; both are
for the reader, but taps that the table does not have are an error.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields
from pathlib import Path

from mixnet_dense.backbones.arch import (
    Block,
    Network,
    check_kernels,
    partition_channels,
    round8,
    truncate,
)
from mixnet_dense.backbones.blocks import build_act
from mixnet_dense.backbones.taps import find_places, find_taps
from mixnet_dense.errors import InputError
from mixnet_dense.files import read_json, written_whole

_SQUEEZES = {"truncate": truncate, "round8": round8}
_WIDEST = 8192


def _whole(low: int) -> tuple[Callable[[object], bool], str]:
    return (
        lambda value: type(value) is int and low <= value <= _WIDEST,
        f"a whole number from {low} to {_WIDEST}",
    )


def _one_of(*allowed) -> tuple[Callable[[object], bool], str]:
    return lambda value: value in allowed, f"one of {', '.join(map(json.dumps, allowed))}"


def _passes(test: Callable, what: str) -> tuple[Callable[[object], bool], str]:
    """What ``test`` raises no ValueError or TypeError for."""

    def good(value) -> bool:
        try:
            test(value)
        except (ValueError, TypeError):
            return False
        return True

    return good, what


_ACT = _passes(build_act, "an activation such as 'ReLU', 'SiLU' or 'HSwish'")
_MAYBE_ACT = (lambda value: value is None or _ACT[0](value), f"null or {_ACT[1]}")
_RATIO = (lambda value: type(value) in (int, float) and 0 <= value <= 1, "a number from 0 to 1")
_BLOCK = {
    "in_channels": _whole(1),
    "expansion": _whole(1),
    "out_channels": _whole(1),
    "kernels": _passes(check_kernels, "different odd positive sizes such as [3, 5]"),
    "stride": _one_of(1, 2),
    "squeeze": _RATIO,
    "act": _ACT,
    "expand_groups": _whole(1),
    "project_groups": _whole(1),
    "project_act": _MAYBE_ACT,
}
_NETWORK = {
    "name": (lambda value: isinstance(value, str), "a text"),
    "stem": _whole(1),
    "last": _whole(0),
    "stem_act": _ACT,
    "last_act": _ACT,
    "squeeze_of": _one_of("input", "expansion"),
    "squeeze_act": _MAYBE_ACT,
    "gate": _ACT,
    "round_squeeze": _one_of(*_SQUEEZES),
}
_OTHERS = ("blocks", "taps", "history")


def write_network(path: str | Path, network: Network, history: Sequence[Mapping] = ()) -> None:
    """Write a table, completely or not at all; ``history``: what was done, step by step.

    Raises:
        InputError: see `files.written_whole`.
    """
    with written_whole(path) as partial:
        partial.write_text(network_text(network, history), encoding="utf-8")


def network_text(network: Network, history: Sequence[Mapping] = ()) -> str:
    """What `write_network` writes; equal for equal tables."""
    names = {function: name for name, function in _SQUEEZES.items()}
    found = {name: getattr(network, name) for name in _NETWORK}
    found["round_squeeze"] = names[network.round_squeeze]
    rows = [{name: getattr(block, name) for name in _BLOCK} for block in network.blocks]
    parts = [f' "{name}": {json.dumps(value)}' for name, value in found.items()]
    for name, lines in (("blocks", rows), ("history", history)):
        parts.append(f' "{name}": [\n' + ",\n".join(f"  {json.dumps(x)}" for x in lines) + "\n ]")
    parts.insert(-1, f' "taps": {json.dumps(tap_channels(network))}')
    return "{\n" + ",\n".join(parts) + "\n}\n"


def tap_channels(network: Network) -> dict[str, int]:
    """Channels of each named map, without those of single blocks."""
    strides = [block.stride for block in network.blocks]
    taps = find_taps(network, strides, find_places(network))
    return {name: tap.channels for name, tap in taps.items() if not name.startswith("block")}


def read_network(path: str | Path) -> Network:
    """The table of a file that `write_network` or a person has written.

    Raises:
        InputError: no such file, or one line with the file, the row, what it has and what is
            allowed.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise InputError(f"{path}: must be an object with 'stem', 'blocks', 'last' …")
    own = {name: value for name, value in content.items() if name not in _OTHERS}
    options = _checked(f"{path}:", own, _NETWORK, Network)
    rows = content.get("blocks")
    if not isinstance(rows, list) or not 1 <= len(rows) <= 200:
        raise InputError(f"{path}: blocks: must be a list of 1 to 200 rows")
    blocks, channels = [], options["stem"]
    for index, row in enumerate(rows):
        blocks.append(_block(f"{path}: block {index}:", row, channels))
        channels = blocks[-1].out_channels
    if "round_squeeze" in options:
        options["round_squeeze"] = _SQUEEZES[options["round_squeeze"]]
    network = Network(blocks=tuple(blocks), **options)
    _check_taps(path, network, content.get("taps", {}))
    return network


def _checked(place: str, row, allowed: Mapping, kind: type) -> dict:
    """The values of a row, each as ``allowed``; those without a default must be there."""
    if not isinstance(row, dict):
        raise InputError(f"{place} must be an object with {', '.join(allowed)}")
    for name in row:
        if name not in allowed:
            raise InputError(f"{place} unknown '{name}': must be one of {', '.join(allowed)}")
    for field in fields(kind):
        name = field.name
        if name in allowed and name not in row and field.default is MISSING:
            raise InputError(f"{place} has no '{name}', which must be {allowed[name][1]}")
    for name, value in row.items():
        good, what = allowed[name]
        if not good(value):
            raise InputError(f"{place} {name} is {json.dumps(value)[:60]}, must be {what}")
    return dict(row)


def _block(place: str, row, channels: int) -> Block:
    """A checked row that reads ``channels``."""
    options = _checked(place, row, _BLOCK, Block)
    options["kernels"] = tuple(options.get("kernels", (3,)))
    block = Block(**options)
    if max(block.kernels) > 99:
        raise InputError(f"{place} kernels {list(block.kernels)}: the largest is 99")
    if block.in_channels != channels:
        raise InputError(
            f"{place} in_channels is {block.in_channels}, must be {channels}, what is before it"
        )
    pairs = [("project_groups", ("expansion", "out_channels"))]
    pairs += [("expand_groups", ("in_channels", "expansion"))] if block.expands else []
    for groups, divided in pairs:
        for name in divided:
            if getattr(block, name) % getattr(block, groups):
                raise InputError(
                    f"{place} {name} is {getattr(block, name)}, must be a multiple of {groups}, "
                    f"{getattr(block, groups)}"
                )
    try:
        partition_channels(block.expansion, len(block.kernels))
    except ValueError as error:
        raise InputError(f"{place} kernels {list(block.kernels)}: {error}") from error
    return block


def _check_taps(path: str | Path, network: Network, taps) -> None:
    try:
        own = tap_channels(network)
    except (ValueError, IndexError) as error:
        raise InputError(
            f"{path}: blocks: their strides must reach 4, 8, 16 and 32, each in a block"
        ) from error
    for name, channels in taps.items() if isinstance(taps, dict) else [(taps, None)]:
        if own.get(name if isinstance(name, str) else None) != channels or channels is None:
            raise InputError(
                f"{path}: taps: {json.dumps(name)[:60]} is {json.dumps(channels)[:60]}, the table "
                f"gives {', '.join(f'{tap} {width}' for tap, width in own.items())}"
            )
