"""Our own checkpoints in the models of their configs."""

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from running import ROOT
from torch import nn

from mixnet_dense import checkpoints
from mixnet_dense.errors import InputError
from mixnet_dense.registry import MODELS
from mixnet_dense.weights import catalogue
from mixnet_dense.weights.load import load_model, load_weights

CLASSES = tuple("abcdefghijklmnopqrs")  # as many as Cityscapes has


@pytest.fixture(scope="module")
def config():
    return Config.fromfile(ROOT / "configs/lraspp_mobilenetv3_small.py")


@pytest.fixture(scope="module")
def state(config):
    init_default_scope("mmseg")
    return MODELS.build(config.model).state_dict()


def test_a_model_comes_ready_to_predict(config, state, tmp_path):
    path = str(tmp_path / "own.pth")
    checkpoints.write(path, state, dict(dataset_meta=dict(classes=CLASSES)))
    model = load_model(config, path)
    assert not any(module.training for module in model.modules())
    assert model.dataset_meta["classes"] == CLASSES and model.cfg is config
    found = model.state_dict()
    assert all(torch.equal(found[key].cpu(), state[key]) for key in state)
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert {value.device.type for value in found.values()} == {expected}


def test_a_model_without_class_names_is_refused(config, state, tmp_path):
    checkpoints.write(str(tmp_path / "own.pth"), state, {})
    with pytest.raises(InputError, match="own.pth': has no class names"):
        load_model(config, str(tmp_path / "own.pth"))


def test_a_model_says_what_its_weights_assume(config, state, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(MMLogger.get_current_instance(), "warning", said.append)
    meta = catalogue.metadata("timm", "tf_mobilenetv3_small_100")
    path = str(tmp_path / "own.pth")
    checkpoints.write(path, state, meta | dict(dataset_meta=dict(classes=CLASSES)))
    load_model(config, path)
    name = "timm tf_mobilenetv3_small_100"
    assert f"{name}: backbone.padding is symmetric, the weights assume same" in said


def test_a_checkpoint_of_another_model_is_not_loaded_in_part(tmp_path):
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    other = {"0.weight": torch.ones(3, 2), "0.bias": torch.ones(4), "2.bias": torch.ones(1)}
    checkpoints.write(str(tmp_path / "other.pth"), other, {})
    with pytest.raises(InputError) as error:
        load_weights(model, str(tmp_path / "other.pth"))
    assert str(error.value) == (
        f"checkpoint '{tmp_path}/other.pth' is of another model: 2 keys missing, first "
        "'1.weight'; 1 keys not of this model, first '2.bias'; 1 keys of another shape, first "
        "'0.bias (4,) for (3,)'"
    )
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
