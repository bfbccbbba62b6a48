"""Every number of `printed`, compared with ours."""

from dataclasses import dataclass
from importlib.util import find_spec

import torch
from torch import nn

from mixnet_dense.backbones import build_classifier
from mixnet_dense.complexity import analyse
from mixnet_dense.costs.printed import NO_READING, TABLES
from mixnet_dense.registry import MODELS

_TOLERANCE = 0.01


@dataclass(frozen=True)
class Cell:
    """A printed number and ours."""

    table: str
    row: str
    quantity: str  # 'params' or 'macs'
    printed: str  # as printed
    unit: float  # what the printed number is to be multiplied by
    value: int  # ours, exact, counted as `printed.TABLES` says
    why: str = ""  # what is known of a number that ours misses

    @property
    def difference(self) -> float:
        """Ours over the printed number, minus 1."""
        return self.value / (float(self.printed) * self.unit) - 1

    @property
    def rounds(self) -> bool:
        """Whether ours rounds to the printed digits."""
        digits = len(self.printed.partition(".")[2])
        return f"{self.value / self.unit:.{digits}f}" == self.printed

    @property
    def agrees(self) -> bool:
        """Whether ours rounds to the printed digits or is within 1 % of them."""
        return self.rounds or abs(self.difference) <= _TOLERANCE

    @property
    def follows_no_reading(self) -> bool:
        """Whether the printed number is known to follow no reading of the paper."""
        return self.why in NO_READING

    def json(self) -> dict:
        names = ("table", "row", "quantity", "difference", "agrees", "why")
        found = {name: getattr(self, name) for name in names}
        return found | dict(printed=float(self.printed) * self.unit, ours=self.value)


def cells() -> list[Cell]:
    """All printed numbers, except those of tables whose host is not installed."""
    builders = {None: _classifier, "mmdet": _detector, "mmseg": _segmenter}
    found = []
    for name, table in TABLES.items():
        if table.host and not find_spec(table.host):
            continue
        for row, (*network, params, macs) in table.rows.items():
            with torch.device("meta"):
                model, shape = builders[table.host](*network)
            analysis = analyse(model, shape)
            cost = analysis.cost
            for quantity, printed, unit, value in (
                ("params", params, 1e6, cost.params if table.norm else cost.params_without_norm),
                ("macs", macs, table.unit, analysis.profiled if table.elementwise else cost.macs),
            ):
                if printed:
                    printed, why = (printed, "") if isinstance(printed, str) else printed
                    found.append(Cell(name, row, quantity, printed, unit, value, why))
    return found


def _classifier(name: str, width: float, side: int) -> tuple[nn.Module, tuple[int, int]]:
    return build_classifier(name, width), (side, side)


def _detector(backbone: dict, slots: int) -> tuple[nn.Module, tuple[int, int]]:
    head = dict(num_classes=slots - 1)
    model = dict(type="mixnet_dense.SSDLite", backbone=backbone, bbox_head=head)
    return MODELS.build(model), (320, 320)


def _segmenter(backbone: dict, filters: int, shape: tuple) -> tuple[nn.Module, tuple[int, int]]:
    kind = "LRASPPHead" if len(backbone["out_taps"]) == 2 else "RASPPHead"
    head = dict(type=f"mixnet_dense.{kind}", channels=filters, num_classes=19)
    model = dict(type="mixnet_dense.MobileSegmentor", backbone=backbone, decode_head=head)
    return MODELS.build(model), shape
