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
from mixnet_dense.adapt.table import Key, read_table, write_table
from mixnet_dense.backbones.arch import Network
from mixnet_dense.backbones.found import network_text
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

    Sums of pieces tell small changes of a table apart, but a search that chooses by them also
    chooses their errors. So each step begins from a whole network, measured beside the first in the
    same rounds. For another device it is the sum of the file's pieces, too.

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
        self.table, self._sums = read_table(file), {}

    def whole(self, network: Network) -> float:
        """The latency of a table."""
        if not latency.is_here(self.where):
            return self._sum(network)
        key = self._key(network)
        if key not in self.table:
            parts = self._first | {key: latency.whole(self._model(network), self.size)}
            with _alone():
                self._keep(latency.missing(parts, self.where, self.table, self.repeats))
        return self.table[key]

    def ms(self, network: Network, now: Network) -> float:
        """The latency of a table with a small change of another, ``now``."""
        return self.whole(now) * self._sum(network) / self._sum(now)

    def _sum(self, network: Network) -> float:
        if network not in self._sums:
            model = self._model(network)
            with _alone():
                self._sums[network], new = latency.predicted(
                    model, self.size, self.where, self.table, self.repeats
                )
            self._keep(new)
        return self._sums[network]

    def _keep(self, new: dict[Key, float]) -> None:
        if new:
            self.table |= new
            write_table(self.file, self.table)

    def _model(self, network: Network) -> nn.Module:
        return build_model(with_arch(self.config, network))

    @cached_property
    def _first(self) -> dict[Key, latency.Piece]:
        model = build_model(self.config)
        return {self._key(model.backbone.network): latency.whole(model, self.size)}

    def _key(self, network: Network) -> Key:
        digest = hashlib.sha256(network_text(network).encode()).hexdigest()[:12]
        return self.where.key(f"network {digest}", names.size([self.size]))


@contextlib.contextmanager
def _alone():
    """Measure without a progress of its own, and give torch its threads back."""
    threads = torch.get_num_threads()
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        torch.set_num_threads(threads)
