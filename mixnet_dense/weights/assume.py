"""Warn if a config's padding, epsilon or preprocessing is not what its weights assume."""

from collections.abc import Iterator, Mapping
from logging import Logger

from mixnet_dense import checkpoints
from mixnet_dense.weights import hub, published
from mixnet_dense.weights.catalogue import metadata

# The defaults of settings that a config leaves out.
_BACKBONE = dict(
    width=1.0, fixed_stem=False, padding="symmetric", output_stride=32, dilate_strided=False
)
_IMAGES = dict(bgr_to_rgb=False)
_EPS = 1e-5


def mismatches(model: Mapping, assumes: Mapping) -> list[str]:
    """One line for each setting of a model config that differs from what its weights assume.

    Args:
        model: the config's ``model``, with ``backbone`` and ``data_preprocessor``.
        assumes: see `catalogue.Origin.assumes`.
    """
    wanted, images = dict(assumes["backbone"]), assumes["data_preprocessor"]
    eps = wanted.pop("norm_cfg")["eps"]
    found = {"arch": wanted["arch"], **_BACKBONE, **model["backbone"]}
    own = {**_IMAGES, **(model.get("data_preprocessor") or {})}
    compared = [
        *((f"backbone.{name}", found.get(name), value) for name, value in wanted.items()),
        ("backbone.norm_cfg.eps", (found.get("norm_cfg") or {}).get("eps", _EPS), eps),
        *((f"data_preprocessor.{name}", own.get(name), value) for name, value in images.items()),
    ]
    return [
        f"{name} is {_plain(have)}, the weights assume {_plain(want)}"
        for name, have, want in compared
        if _plain(have) != _plain(want)
    ]


def _plain(value):
    """Prepare a setting for comparison: lists for tuples, six digits, names without a scope."""
    if isinstance(value, str):
        return value.rpartition(".")[2]
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(f"{value:.6g}")
    return value


def warn_mismatches(config: Mapping, meta: Mapping, logger: Logger) -> None:
    """Log the `mismatches` between a config and a checkpoint with this ``meta``."""
    if "assumes" not in meta:
        return
    model = config["model"].get("module", config["model"])  # without test-time augmentation
    for line in mismatches(model, meta["assumes"]):
        logger.warning(f"{'{source} {model}'.format(**meta['converted'])}: {line}")


def warn_pretrained(config: Mapping, logger: Logger) -> None:
    """Call `warn_mismatches` for the weights that training begins with.

    They come from ``load_from``, else from ``init_cfg`` of the model and its backbone.

    Raises:
        InputError: the file cannot be read, see also `published.fetch`.
    """
    for checkpoint in map(published.local, _pretrained(config)):
        origin = hub.origin_of(checkpoint)
        if origin:
            warn_mismatches(config, metadata(*origin), logger)
        elif "://" not in checkpoint:
            warn_mismatches(config, checkpoints.read(checkpoint)[1], logger)


def _pretrained(config: Mapping) -> Iterator[str]:
    if config.get("load_from"):
        yield str(config["load_from"])
        return
    for part in (config["model"], config["model"].get("backbone", {})):
        inits = part.get("init_cfg") or []
        for init in [inits] if isinstance(inits, Mapping) else inits:
            if init.get("type") == "Pretrained":
                yield str(init["checkpoint"])
