"""What `tools/complexity.py` prints."""

from collections.abc import Sequence

from mmengine.registry import init_default_scope
from torch import nn

from mixnet_dense.backbones.classifier import NAMES, build_classifier
from mixnet_dense.complexity import Cost, analyse
from mixnet_dense.costs.cells import Cell
from mixnet_dense.costs.printed import TABLES
from mixnet_dense.engine.config import load_config, slips_named
from mixnet_dense.errors import InputError
from mixnet_dense.registry import MODELS
from mixnet_dense.shipped import find_config


def model_row(name: str, shape: Sequence[int] | None = None) -> dict:
    """Build what ``name`` says, a config file or a network of the papers, and count it.

    Its ``shape`` (H, W) is by default 320 x 320 for a detector, 1025 x 2049 for a segmenter (see
    `printed`) and 224 x 224 for a name.

    Returns:
        ``name``, ``shape`` and the entries of `Cost`; ``profiled`` and ``uncounted`` of
        `Analysis`, and ``stages``, its parts.

    Raises:
        InputError: neither a config file nor a known name.
    """
    if name in NAMES:
        model, usual = build_classifier(name), (224, 224)
    elif find_config(name):
        model = _from_config(name)
        usual = (1025, 2049) if hasattr(model, "decode_head") else (320, 320)
    else:
        raise InputError(f"{name}: neither a config nor one of {', '.join(NAMES)}")
    shape = list(shape or usual)
    found = analyse(model, shape)
    stages = [part._asdict() for part in found.parts]
    rest = dict(profiled=found.profiled, uncounted=found.uncounted, stages=stages)
    return dict(name=name, shape=shape, **found.cost._asdict(), **rest)


def _from_config(path: str) -> nn.Module:
    config = load_config(path)
    if "model" not in config:
        raise InputError(f"config '{path}': has no model")
    init_default_scope(config.get("default_scope", "mmdet"))
    with slips_named(f"config '{path}'"):
        return MODELS.build(config.model)


def without_stages(row: dict) -> dict:
    return {name: row[name] for name in ("name", "shape", *Cost._fields)}


def model_text(rows: Sequence[dict], stages: bool = False) -> str:
    """A table of models, with the operators that are not multiply-adds."""
    width = max(len(row["name"]) for row in rows)
    lines = [
        f"{'':{width}}  {'shape':>11}  {'params':>11}  {'without norm':>12}  {'multiply-adds':>15}"
    ]
    for row in rows:
        shape = "{} x {}".format(*row["shape"])
        lines.append(
            f"{row['name']:{width}}  {shape:>11}  {row['params']:>11,}  "
            f"{row['params_without_norm']:>12,}  {row['macs']:>15,}"
        )
        for part in row["stages"] if stages else ():
            lines.append(
                f"  {part['name']:{width + 9}}  {part['params']:>11,}  {'':12}  {part['macs']:>15,}"
            )
        others = sorted(row["uncounted"].items())
        lines.append("  not counted: " + ", ".join(f"{name} x{times}" for name, times in others))
    return "\n".join(lines)


def paper_text(cells: Sequence[Cell]) -> str:
    """The tables with their conventions, and how many cells agree."""
    lines = []
    for name, table in TABLES.items():
        rows = [cell for cell in cells if cell.table == name]
        left_out = "" if rows else f"left out, {table.host} is not installed; "
        lines += [f"{name}: {left_out}{table.counted}", *map(_cell_text, rows), ""]
    return "\n".join([*lines, "= rounds to the printed digits, ~ is within 1 %", headline(cells)])


def _cell_text(cell: Cell) -> str:
    verdict = "=" if cell.rounds else "~" if cell.agrees else "differs"
    unit = "B" if cell.unit == 1e9 else "M"
    return (
        f"  {cell.row:22} {cell.quantity:6} printed {cell.printed:>5} {unit}  ours "
        f"{cell.value / cell.unit:8.3f}  {cell.difference:+7.2%}  {verdict}"
        + (f"  ({cell.why})" if cell.why else "")
    )


def headline(cells: Sequence[Cell]) -> str:
    """How many of all cells agree, and what is known of the others."""
    agree = sum(cell.agrees for cell in cells)
    unread = sum(cell.follows_no_reading for cell in cells)
    return (
        f"Of {len(cells)} printed numbers {agree} agree to the printed digits or within 1 %, "
        f"{unread} follow no reading of the papers, {len(cells) - agree - unread} differ otherwise"
    )
