"""The config with another table: its model, and its latency."""

import contextlib
import copy
import hashlib
import io
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.device import get_device
from torch import nn

from mixnet_dense.adapt import latency, names
from mixnet_dense.adapt.table import read_table, write_table
from mixnet_dense.backbones.arch import Network
from mixnet_dense.benchmark.subjects import build_model
from mixnet_dense.registry import MODELS

PARTS = ("neck", "bbox_head", "decode_head")
"""What a config may give ``in_channels`` to, which follow from the table."""


def with_arch(config: Config, arch: Network | str | Path) -> Config:
    """A config with a table or its file; channels that neck and head are given follow it."""
    config = copy.deepcopy(config)
    config.model.backbone.arch = arch if isinstance(arch, Network) else str(arch)
    for part in PARTS:
        (config.model.get(part) or {}).pop("in_channels", None)
    return config


def build(config: Config) -> nn.Module:
    """The config's model with random weights, on the GPU if there is one."""
    config.model.backbone.init_cfg = None
    return MODELS.build(config.model).to(get_device())


class Clock:
    """Latencies of tables of a config, from a file that it fills.

    On this machine a table is measured as a whole network, beside the first in the same rounds:
    sums of pieces have errors of some percent, and a search would choose the tables whose errors
    are greatest. For another device it is the sum of the file's pieces.

    Args:
        config: of the first network.
        where, file, repeats: see `latency.missing` and `table.read_table`.
        size: see `latency.image_size`.

    Raises:
        InputError: the file is no table; or see `latency.image_size`.
    """

    def __init__(
        self, config: Config, where: latency.Where, file: Path, repeats: int,
        size: Sequence[int] | None,
    ):  # fmt: skip
        self.config, self.where, self.file, self.repeats = config, where, file, repeats
        self.size = latency.image_size(config, size)
        self.table = read_table(file)

    @cached_property
    def _first(self) -> dict[latency.Key, latency.Piece]:
        return self._whole(build_model(self.config))

    def ms(self, network: Network) -> float:
        """The latency of a table."""
        model, threads = build_model(with_arch(self.config, network)), torch.get_num_threads()
        try:
            with contextlib.redirect_stderr(io.StringIO()):  # a progress of its own
                return self._ms(model)
        finally:
            torch.set_num_threads(threads)

    def _ms(self, model: nn.Module) -> float:
        if not latency.is_here(self.where):
            return latency.predicted(model, self.size, self.where, self.table, self.repeats)[0]
        parts = self._whole(model)
        if new := latency.missing(self._first | parts, self.where, self.table, self.repeats):
            self.table |= new
            write_table(self.file, self.table)
        return self.table[next(iter(parts))]

    def _whole(self, model: nn.Module) -> dict[latency.Key, latency.Piece]:
        digest = hashlib.sha256(repr(model.backbone.network).encode()).hexdigest()[:12]
        key = self.where.key(f"network {digest}", names.size([self.size]))
        return {key: latency.whole(model, self.size)}
