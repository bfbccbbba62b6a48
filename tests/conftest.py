"""Imports the package first: it makes the hosts importable without compiled mmcv."""

import pytest
import torch
from mmengine.registry import DefaultScope

import mixnet_dense  # noqa: F401


@pytest.fixture(autouse=True)
def _no_default_scope():
    """A scope that an earlier test set as default would resolve names in mmdet first."""
    DefaultScope._instance_dict.clear()


@pytest.fixture(autouse=True)
def _same_threads():
    """torch's threads are of the process: one test's choice would be the next one's."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
