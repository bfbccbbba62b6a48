"""Names among the checkpoints that mmengine loads.

They are ``timm://NAME`` and ``tv://NAME``, see `hub`, and ``published://NAME``, see `published`.
"""

from mmengine.runner.checkpoint import CheckpointLoader

from mixnet_dense.checkpoints import load_file
from mixnet_dense.weights import hub, published


def _load(checkpoint: str, map_location=None) -> dict:
    """mmengine's loader; the tensors stay on the CPU until the model takes them."""
    return load_file(published.local(checkpoint))


CheckpointLoader.register_scheme(prefixes=tuple(hub.SOURCES), loader=hub.load, force=True)
CheckpointLoader.register_scheme(prefixes=published.SCHEME, loader=_load, force=True)
