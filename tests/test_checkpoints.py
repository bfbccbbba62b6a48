"""Checkpoints load as data only, by our own functions and by mmengine's."""

import pickle

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner.checkpoint import CheckpointLoader
from running import fresh

import mixnet_dense.engine  # noqa: F401  guards what mmengine loads
from mixnet_dense import checkpoints
from mixnet_dense.errors import InputError


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def test_checkpoint_that_would_run_code_is_refused(tmp_path):
    target = tmp_path / "created"
    torch.save({"state_dict": {}, "x": Bomb(str(target))}, tmp_path / "bomb.pth")
    for load in (checkpoints.load_file, CheckpointLoader.load_checkpoint):
        with pytest.raises(
            InputError,
            match=r"could run code.*checkpoints.trust_checkpoints\(\).*--trust-checkpoint",
        ):
            load(str(tmp_path / "bomb.pth"))
    assert not target.exists()


class Reach:
    def __init__(self, owner, name):
        self.found = owner, name

    def __reduce__(self):
        return getattr, self.found


@pytest.mark.parametrize("found", [(dict, "fromkeys"), (HistoryBuffer, "__init__")])
def test_getattr_is_allowed_for_statistics_of_log_buffers_only(tmp_path, found):
    torch.save({"x": Reach(*found)}, tmp_path / "reach.pth")
    with pytest.raises(InputError, match="could run code"):
        checkpoints.load_file(str(tmp_path / "reach.pth"))


def test_broken_files_are_named(tmp_path):
    (tmp_path / "text.pth").write_text("not a checkpoint")
    torch.save({"state_dict": {"a": torch.zeros(1000)}}, tmp_path / "whole.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "whole.pth").read_bytes()[:2000])
    (tmp_path / "pickle.pth").write_bytes(pickle.dumps({"a": 1}))
    for name in ("text", "cut"):
        with pytest.raises(InputError, match=f"{name}.pth"):
            checkpoints.load_file(str(tmp_path / f"{name}.pth"))
    with pytest.raises(InputError, match="no such file"):
        checkpoints.load_file(str(tmp_path / "absent.pth"))
    with pytest.raises(InputError, match="no such file"):
        CheckpointLoader.load_checkpoint(str(tmp_path / "absent.pth"))


def test_mmengines_own_values_load_and_config_text_is_dropped(tmp_path):
    buffer = HistoryBuffer([1.0, 3.0], [1, 1])
    content = {
        "state_dict": {"a": torch.ones(2)},
        "message_hub": {"loss": buffer, "lr": np.float64(0.1)},
        "meta": {"epoch": 3, "config": "raise SystemExit"},
    }
    torch.save(content, tmp_path / "own.pth")
    loaded = CheckpointLoader.load_checkpoint(str(tmp_path / "own.pth"))
    assert loaded["message_hub"]["loss"].mean() == 2
    assert loaded["meta"] == {"epoch": 3}  # mmengine would execute the config on resume
    assert torch.equal(loaded["state_dict"]["a"], torch.ones(2))


def test_mmengines_checkpoints_load_without_mmengine(tmp_path):
    buffer = HistoryBuffer([1.0, 3.0], [1, 1])
    content = {"state_dict": {"a": torch.ones(2)}, "message_hub": {"loss": buffer}}
    torch.save(content, tmp_path / "own.pth")
    fresh(
        f"""
        from mixnet_dense.checkpoints import read
        state, meta = read({str(tmp_path / "own.pth")!r})
        assert list(state) == ["a"] and state["a"].tolist() == [1, 1]
        assert "mmengine" not in [name for name, found in sys.modules.items() if found]
        """,
        blocked=("mmengine",),
    )


def test_trusted_checkpoints_load_anything(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "_trusted", False)
    torch.save({"when": __import__("datetime").date(2020, 1, 1)}, tmp_path / "date.pth")
    with pytest.raises(InputError):
        checkpoints.load_file(str(tmp_path / "date.pth"))
    checkpoints.trust_checkpoints()
    assert checkpoints.load_file(str(tmp_path / "date.pth"))["when"].year == 2020
