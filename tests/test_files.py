"""Files are whole or not there, whatever happens while they are written."""

import errno
import os

import pytest
import torch

from mixnet_dense.errors import InputError
from mixnet_dense.files import remove_leftovers, write_json, written_whole


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(errno.ENOSPC, "No space left")])
def test_a_write_that_ends_early_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "found.json"
    write_json(path, {"old": 1})
    full = isinstance(error, OSError)
    expected = f"{path}: cannot be written: No space left" if full else None
    with pytest.raises(InputError if full else KeyboardInterrupt, match=expected):
        with written_whole(path) as partial:
            partial.write_text("half")
            raise error
    assert path.read_text() == '{\n "old": 1\n}' and os.listdir(tmp_path) == ["found.json"]


def test_what_torch_says_of_a_full_disk_is_understood_and_nothing_else(tmp_path):
    if os.path.exists("/dev/full"):
        with pytest.raises(RuntimeError) as full:
            torch.save(torch.zeros(100_000), "/dev/full")
        with pytest.raises(InputError, match="a.pth: cannot be written"):
            with written_whole(tmp_path / "a.pth"):
                raise full.value
    with pytest.raises(RuntimeError, match="sizes differ"):
        with written_whole(tmp_path / "a.pth"):
            raise RuntimeError("sizes differ")


def test_the_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    order = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, r=real, n=name: (order.append(n), r(*a))[1])
    write_json(tmp_path / "a.json", [])
    assert order == ["fsync", "replace", "fsync"]  # the folder last


def test_what_a_killed_process_left_is_removed(tmp_path):
    for name in (".epoch_1.77.partial.pth", ".a.7.partial", "kept.pth", ".kept"):
        (tmp_path / name).write_text("")
    remove_leftovers(str(tmp_path))
    assert sorted(os.listdir(tmp_path)) == [".kept", "kept.pth"]
