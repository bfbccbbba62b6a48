"""``timm://NAME`` and ``tv://NAME`` as checkpoints in configs.

``init_cfg=dict(type="Pretrained", checkpoint="timm://mixnet_s")`` downloads through timm,
``tv://mobilenet_v3_large`` through torchvision, where they are installed, into their own
caches, and converts. (mmengine's own ``torchvision://`` gives torchvision's keys.)
"""

from torch import Tensor

from mixnet_dense.checkpoints import restricted_loading
from mixnet_dense.errors import InputError

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
        InputError: the library is not installed, the name is none we convert, the weights
            are neither in its cache nor can be downloaded, or their file could run code.
    """
    from mixnet_dense.weights.catalogue import find

    source, model = origin_of(checkpoint)
    origin = find(source, model)
    try:
        with restricted_loading():
            return _timm(model) if source == "timm" else _torchvision(model, origin.whole)
    except InputError:
        raise
    except ImportError as error:
        raise InputError(
            f"{checkpoint}: needs {source} ({error}); run: pip install {source}, or convert a "
            "file with tools/convert_weights.py"
        ) from error
    except Exception as error:  # whatever the library's downloader raises
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{checkpoint}: {source} could not give its weights: {reason}") from error


def load(checkpoint: str, map_location=None) -> dict:
    """What mmengine loads for the prefix: our keys, and what they assume."""
    from mixnet_dense.weights.catalogue import metadata
    from mixnet_dense.weights.convert import convert

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

    folder = {"detector": "detection", "segmenter": "segmentation"}.get(whole)
    models = getattr(torchvision.models, folder) if folder else torchvision.models
    return getattr(models, model)(weights="DEFAULT").state_dict()
