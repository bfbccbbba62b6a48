"""The config with another table: its model, and its latency."""

import contextlib
import copy
import io
from collections.abc import Sequence
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.device import get_device
from torch import nn

from mixnet_dense.adapt import latency
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
    """Latencies of tables of a config from a file of pieces, which it fills.

    Args:
        config, where, file, repeats: see `latency.predicted` and `read_table`.
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

    def ms(self, network: Network) -> float:
        """The latency of a table."""
        model, threads = build_model(with_arch(self.config, network)), torch.get_num_threads()
        try:
            with contextlib.redirect_stderr(io.StringIO()):  # a progress of its own
                total, new = latency.predicted(
                    model, self.size, self.where, self.table, self.repeats
                )
        finally:
            torch.set_num_threads(threads)
        if new:
            self.table |= new
            write_table(self.file, self.table)
        return total
