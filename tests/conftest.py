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


@pytest.fixture(scope="session")
def sample(tmp_path_factory):
    """The folder of an embedded sample of 8 + 4 images, one per process.

    Its train images 5 and 7 are one without objects and one with a heap. Tests must not
    write into it: copy it with ``shutil.copytree`` first.
    """
    from mixnet_dense.sample.build import SampleRequest, build_sample

    folder = tmp_path_factory.mktemp("session") / "sample"
    build_sample(SampleRequest(folder, train=8, val=4))
    return folder


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """A folder of untrained checkpoints and images; see `exporting.write_files`."""
    from exporting import write_files

    return write_files(tmp_path_factory.mktemp("export"))
