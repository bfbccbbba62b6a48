"""Imports the package first: it makes the hosts importable without compiled mmcv."""

import mixnet_dense  # noqa: F401
