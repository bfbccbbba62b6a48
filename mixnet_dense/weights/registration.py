"""``timm://NAME`` and ``tv://NAME`` among the checkpoints that mmengine loads; see `hub`."""

from mmengine.runner.checkpoint import CheckpointLoader

from mixnet_dense.weights import hub

CheckpointLoader.register_scheme(prefixes=tuple(hub.SOURCES), loader=hub.load, force=True)
