"""Weights that training or evaluation begins with, beside what the config has."""

from collections.abc import Mapping

from mmengine.config import Config
from mmengine.logging import MMLogger

from mixnet_dense import checkpoints as files
from mixnet_dense.weights import hub
from mixnet_dense.weights.assume import mismatches
from mixnet_dense.weights.catalogue import metadata


def warn_pretrained(config: Config, logger: MMLogger) -> None:
    """Say where the weights it begins with assume something else than the config.

    Those of ``load_from``, else of ``init_cfg`` of the model or its backbone.

    Raises:
        InputError: the file cannot be read.
    """
    for checkpoint in _checkpoints(config):
        if hub.origin_of(checkpoint):
            warn_mismatches(config, metadata(*hub.origin_of(checkpoint)), logger)
        elif "://" not in checkpoint:
            warn_mismatches(config, files.read(checkpoint)[1], logger)


def _checkpoints(config: Config) -> list[str]:
    if config.get("load_from"):
        return [str(config.load_from)]
    found = []
    for part in (config.model, config.model.get("backbone", {})):
        inits = part.get("init_cfg") or []
        for init in [inits] if isinstance(inits, Mapping) else inits:
            if init.get("type") == "Pretrained":
                found.append(str(init["checkpoint"]))
    return found


def warn_mismatches(config: Config, meta: Mapping, logger: MMLogger) -> None:
    """Say what the config has other than converted weights assume; ``meta`` is theirs."""
    if "assumes" not in meta:
        return
    model = config.model.get("module", config.model)
    for line in mismatches(model, meta["assumes"]):
        logger.warning(f"{'{source} {model}'.format(**meta['converted'])}: {line}")
