"""``timm://NAME`` and ``tv://NAME`` as checkpoints in configs.

``init_cfg=dict(type="Pretrained", checkpoint="timm://mixnet_s")`` downloads through timm,
``tv://mobilenet_v3_large`` through torchvision, into their own caches, and converts. They
must be installed. (mmengine's own ``torchvision://`` gives torchvision's keys.)
"""

from torch import Tensor

from mixnet_dense.compat import restricted_loading
from mixnet_dense.errors import InputError, first_line
from mixnet_dense.weights.catalogue import UNTRAINED, find, metadata
from mixnet_dense.weights.conversion import convert

SOURCES = {"timm://": "timm", "tv://": "torchvision"}


def origin_of(checkpoint: str) -> tuple[str, str] | None:
    """Source and model of ``timm://NAME`` or ``tv://NAME``, None for anything else."""
    for prefix, source in SOURCES.items():
        if checkpoint.startswith(prefix):
            return source, checkpoint.removeprefix(prefix)
    return None


def fetch(checkpoint: str) -> dict[str, Tensor]:
    """The state dict as timm or torchvision has it.

    Raises:
        InputError: the library is not installed; we do not convert this name, or it has no
            trained weights; the weights cannot be downloaded; or their file could run code.
    """
    source, model = origin_of(checkpoint)
    whole = find(source, model).whole
    if source == "timm" and model in UNTRAINED:
        raise InputError(f"{checkpoint}: timm has no trained weights for {model}")
    try:
        with restricted_loading():
            return _timm(model) if source == "timm" else _torchvision(model, whole)
    except ImportError as error:
        raise InputError(
            f"{checkpoint}: needs {source} ({error}); run: pip install {source}, or convert a "
            "file with tools/convert_weights.py"
        ) from error
    except (OSError, RuntimeError) as error:  # no network, no such file there, a broken one
        reason = first_line(error)
        raise InputError(f"{checkpoint}: {source} could not give its weights: {reason}") from error


def load(checkpoint: str, map_location=None) -> dict:
    """mmengine's loader for such names: weights under our keys, and what they assume."""
    source, model = origin_of(checkpoint)
    state_dict = convert(fetch(checkpoint), source, model)
    if map_location is not None:
        state_dict = {key: value.to(map_location) for key, value in state_dict.items()}
    return dict(state_dict=state_dict, meta=metadata(source, model))


def _timm(model: str) -> dict[str, Tensor]:
    import timm

    return timm.create_model(model, pretrained=True).state_dict()


def _torchvision(model: str, whole: str) -> dict[str, Tensor]:
    import torchvision

    models = getattr(torchvision.models, whole) if whole else torchvision.models
    return getattr(models, model)(weights="DEFAULT").state_dict()
