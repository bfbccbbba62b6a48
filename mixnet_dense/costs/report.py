"""What `tools/complexity.py` prints."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from mixnet_dense.backbones.classifier import NAMES, build_classifier
from mixnet_dense.complexity import Analysis, analyse
from mixnet_dense.costs.cells import Cell
from mixnet_dense.costs.tables import CONVENTIONS, HOSTS, cells
from mixnet_dense.errors import InputError


@dataclass(frozen=True)
class ModelRow:
    """A model by the name it was asked for, and what it costs at a shape."""

    name: str
    shape: tuple[int, int]
    analysis: Analysis

    def json(self, stages: bool = False) -> dict:
        found = self.analysis
        row = dict(name=self.name, shape=list(self.shape), **found.cost._asdict())
        if stages:
            parts = [part._asdict() for part in found.parts]
            row.update(profiled=found.profiled, uncounted=found.uncounted, stages=parts)
        return row


@dataclass(frozen=True)
class PaperRow:
    """A printed cell, with ours."""

    cell: Cell

    def json(self, stages: bool = False) -> dict:
        cell = self.cell
        return dict(
            table=cell.table,
            row=cell.row,
            quantity=cell.quantity,
            printed=float(cell.printed) * cell.unit,
            ours=cell.value,
            difference=cell.difference,
            agrees=cell.agrees,
            why=cell.why,
            **({"profiled": cell.profiled} if cell.profiled else {}),
        )


def model_row(name: str, shape: Sequence[int] | None = None) -> ModelRow:
    """Build what ``name`` says, a config file or a network of the papers, and count it.

    Args:
        name: a path, or one of `classifier.NAMES`.
        shape: (H, W); by default 320 x 320 for a detector, 1025 x 2049 for a segmenter
            (see `paper_segmentation`) and 224 x 224 for a name.

    Raises:
        InputError: neither a config file nor a known name.
    """
    if name in NAMES:
        model, usual = build_classifier(name), (224, 224)
    elif Path(name).suffix == ".py" or Path(name).is_file():
        model = _from_config(name)
        usual = (1025, 2049) if hasattr(model, "decode_head") else (320, 320)
    else:
        raise InputError(f"{name}: neither a config file nor one of {', '.join(NAMES)}")
    shape = tuple(shape or usual)
    return ModelRow(name, shape, analyse(model, shape))


def _from_config(path: str) -> nn.Module:
    from mmengine.registry import init_default_scope

    from mixnet_dense.engine.config import load_config
    from mixnet_dense.errors import first_line
    from mixnet_dense.registry import MODELS

    config = load_config(path)
    if "model" not in config:
        raise InputError(f"config '{path}': has no model")
    init_default_scope(config.get("default_scope", "mmdet"))
    try:
        return MODELS.build(config.model)
    except (KeyError, TypeError, ValueError, AssertionError) as error:
        raise InputError(f"config '{path}': {first_line(error)}") from error


def model_text(rows: Sequence[ModelRow], stages: bool = False) -> str:
    """A table of models, with the operators that are not multiply-adds."""
    width = max(len(row.name) for row in rows)
    lines = [
        f"{'':{width}}  {'shape':>11}  {'params':>11}  {'without norm':>12}  {'multiply-adds':>15}"
    ]
    for row in rows:
        cost = row.analysis.cost
        shape = "{} x {}".format(*row.shape)
        lines.append(
            f"{row.name:{width}}  {shape:>11}  {cost.params:>11,}  {cost.params_without_norm:>12,}"
            f"  {cost.macs:>15,}"
        )
        if stages:
            lines += [
                f"  {part.name:{width + 9}}  {part.params:>11,}  {'':12}  {part.macs:>15,}"
                for part in row.analysis.parts
            ]
        others = sorted(row.analysis.uncounted.items())
        lines.append("  not counted: " + ", ".join(f"{name} x{times}" for name, times in others))
    return "\n".join(lines)


def paper_rows() -> list[PaperRow]:
    return [PaperRow(cell) for cell in cells()]


def paper_text(rows: Sequence[PaperRow]) -> str:
    """The tables with their conventions, and how many cells agree."""
    lines, table = [], None
    for cell in (row.cell for row in rows):
        if cell.table != table:
            table = cell.table
            lines += ["", f"{table}: {CONVENTIONS[table]}"]
        verdict = "=" if cell.rounds else "~" if cell.agrees else "differs"
        why = f"  ({cell.why})" if cell.why and not cell.rounds else ""
        if cell.profiled:
            why += f"  ({cell.profiled / cell.unit:.3f} with element-wise operations)"
        unit = "B" if cell.unit == 1e9 else "M"
        lines.append(
            f"  {cell.row:22} {cell.quantity:6} printed {cell.printed:>5} {unit}  ours "
            f"{cell.value / cell.unit:8.3f}  {cell.difference:+7.2%}  {verdict}{why}"
        )
    present = {row.cell.table for row in rows}
    lines += [
        f"\n{table}: left out, {host} is not installed"
        for table, host in HOSTS.items()
        if table not in present
    ]
    reachable = [row.cell for row in rows if row.cell.reachable]
    agree = sum(cell.agrees for cell in reachable)
    others = [row.cell for row in rows if not row.cell.reachable]
    lines += [
        "",
        "= rounds to the printed digits, ~ within 1 %, multiply-adds of tables 7 and 8 within 5 %",
        f"{agree} of {len(reachable)} printed cells agree ({agree / len(reachable):.1%}); "
        f"{len(others)} more are known to follow no reading of the papers, "
        f"{sum(cell.agrees for cell in others)} of them agree all the same",
    ]
    return "\n".join(lines).lstrip("\n")
