"""The config with another table: its model, and its latency."""

import contextlib
import copy
import io
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.device import get_device
from torch import nn

from mixnet_dense.adapt import latency
from mixnet_dense.backbones.arch import Network
from mixnet_dense.backbones.found import write_network
from mixnet_dense.benchmark.subjects import build_model
from mixnet_dense.errors import InputError
from mixnet_dense.export.description import pipeline_resize
from mixnet_dense.registry import MODELS

PARTS = ("neck", "bbox_head", "decode_head")
"""What a config may give ``in_channels`` to, which follow from the table."""


def with_arch(config: Config, arch: str | Path) -> Config:
    """A config with the table of a file; channels that neck and head are given follow it."""
    config = copy.deepcopy(config)
    config.model.backbone.arch = str(arch)
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
        config, where, file, repeats: see `latency.predicted` and `latency.read_table`.
        size: height and width of the images; by default as the test pipeline resizes them.

    Raises:
        InputError: the file is no table; or no size is given and the pipeline has none.
    """

    def __init__(
        self, config: Config, where: latency.Where, file: Path, repeats: int,
        size: Sequence[int] | None,
    ):  # fmt: skip
        self.config, self.where, self.file, self.repeats = config, where, file, repeats
        size = size or pipeline_resize(config).get("resized")
        if not size:
            raise InputError("--size H W: must be given, the test pipeline resizes to no one size")
        self.size = tuple(size)
        self.table = latency.read_table(file)

    def ms(self, network: Network) -> float:
        """The latency of a table."""
        with tempfile.TemporaryDirectory() as folder:  # a file has the table that is built
            write_network(f"{folder}/table.json", network)
            model = build_model(with_arch(self.config, f"{folder}/table.json"))
        threads = torch.get_num_threads()
        arguments = (model, self.size, self.where, self.table, self.repeats)
        try:
            with contextlib.redirect_stderr(io.StringIO()):  # a progress of its own
                total, new = latency.predicted(*arguments)
        finally:
            torch.set_num_threads(threads)
        if not new:
            return total
        latency.write_table(self.file, self.table | new)
        self.table = latency.read_table(self.file)  # rounded, as a resumed search reads it
        return latency.predicted(model, *arguments[1:3], self.table, self.repeats)[0]
