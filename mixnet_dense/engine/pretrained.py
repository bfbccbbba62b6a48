"""Weights that training or evaluation begins with, beside what the config has."""

from collections.abc import Mapping

from mmengine.config import Config
from mmengine.logging import MMLogger

from mixnet_dense.weights import files, hub
from mixnet_dense.weights.assume import mismatches
from mixnet_dense.weights.catalogue import metadata


def warn_pretrained(config: Config, logger: MMLogger) -> None:
    """Say where the backbone's ``init_cfg`` weights assume something else than the config.

    Raises:
        InputError: the file cannot be read.
    """
    init = config.model.get("backbone", {}).get("init_cfg")
    if not isinstance(init, Mapping) or init.get("type") != "Pretrained":
        return
    checkpoint = str(init["checkpoint"])
    if hub.origin_of(checkpoint):
        warn_mismatches(config, metadata(*hub.origin_of(checkpoint)), logger)
    elif "://" not in checkpoint:
        warn_mismatches(config, files.read(checkpoint)[1], logger)


def warn_mismatches(config: Config, meta: Mapping, logger: MMLogger) -> None:
    """Say what the config has other than converted weights assume; ``meta`` is theirs."""
    if "assumes" not in meta:
        return
    model = config.model.get("module", config.model)
    for line in mismatches(model, meta["assumes"]):
        logger.warning(f"{'{source} {model}'.format(**meta['converted'])}: {line}")
