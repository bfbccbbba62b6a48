"""Weights that training begins with: converted files, and timm:// and tv:// in configs."""

import logging.handlers
import sys
import types
import uuid

import golden
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from running import ROOT, tool

from mixnet_dense import checkpoints
from mixnet_dense.backbones import MobileNetV2, MobileNetV3
from mixnet_dense.errors import InputError
from mixnet_dense.registry import MODELS
from mixnet_dense.weights import catalogue, convert, hub, revert
from mixnet_dense.weights.assume import warn_pretrained

PARTIAL = ROOT / "configs/lraspp_mobilenetv3_small_pretrained.py"


def same(found, expected):
    return set(found) == set(expected) and all(torch.equal(found[k], expected[k]) for k in found)


@pytest.fixture(scope="module")
def timm_state():
    return golden.state_dict("timm_mixnet_s")


@pytest.fixture(scope="module")
def ours(timm_state):
    return convert(timm_state, "timm", "mixnet_s")


@pytest.fixture
def fake(monkeypatch):
    """Put a module with these attributes in the place of a library."""

    def put(name, **attributes):
        module = types.ModuleType(name)
        vars(module).update(attributes)
        monkeypatch.setitem(sys.modules, name, module)

    return put


@pytest.fixture
def logged():
    """What mmengine's logger is told; one of its own, since an earlier test's may write files."""
    handler = logging.handlers.BufferingHandler(1000)
    logger = MMLogger.get_instance(f"logged {uuid.uuid4()}")
    logger.addHandler(handler)
    yield lambda: [record.getMessage() for record in handler.buffer]
    logger.removeHandler(handler)


def giving(name, state):
    """A ``timm.create_model`` that has the weights of one model."""

    def create_model(wanted, pretrained):
        assert (wanted, pretrained) == (name, True)
        return types.SimpleNamespace(state_dict=lambda: state)

    return create_model


def initialised(checkpoint, **options):
    init_default_scope("mmdet")
    options = dict(type="mixnet_dense.MixNet", arch="s") | options
    init = dict(type="Pretrained", checkpoint=str(checkpoint))
    backbone = MODELS.build(dict(options, init_cfg=init))
    backbone.init_weights()
    return backbone.state_dict()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_converted_files_begin_a_training(ours, tmp_path, suffix):
    path = str(tmp_path / f"w{suffix}")
    checkpoints.write(path, ours, catalogue.metadata("timm", "mixnet_s"))
    assert same(initialised(path), ours)


def test_timm_weights_begin_a_training(fake, timm_state, ours):
    fake("timm", create_model=giving("mixnet_s", timm_state))
    assert same(initialised("timm://mixnet_s"), ours)


def test_torchvision_weights_begin_a_training(fake):
    torch.manual_seed(0)
    backbone = MobileNetV2(out_taps=("last",))
    theirs = revert(backbone.state_dict(), "torchvision", "mobilenet_v2")
    model = types.SimpleNamespace(state_dict=lambda: theirs)
    fake("torchvision", models=types.SimpleNamespace(mobilenet_v2=lambda weights: model))
    options = dict(type="mixnet_dense.MobileNetV2", arch="classification", out_taps=("last",))
    assert same(initialised("tv://mobilenet_v2", **options), backbone.state_dict())


# --------------------------------------------------- checkpoints that fit in part


def assert_he(state, keys):
    """Convolutions ``keys`` have weights of deviation sqrt(2 / fan-in), and biases of 0.

    torch's own initialisation has sqrt(1 / (3 * fan-in)), 0.41 of it, and biases other than 0.
    """
    assert keys
    for key in keys:
        value = state[key]
        if value.dim() == 4:
            deviation = value.std() * (value[0].numel() / 2) ** 0.5
            assert abs(deviation - 1) < 5 / value.numel() ** 0.5, (key, deviation)
        elif key.endswith((".bias", "running_mean")):
            assert not value.any(), key
        elif value.dim():  # weight and variance of a batch norm
            assert (value == 1).all(), key


def test_what_a_file_lacks_keeps_he_initialisation(ours, tmp_path, logged):
    lacking = ("blocks.3.", "blocks.15.", "last.")
    part = {key: value for key, value in ours.items() if not key.startswith(lacking)}
    part["stem.conv.weight"] = torch.zeros(24, 3, 3, 3)  # 16 filters are wanted
    checkpoints.write(str(tmp_path / "part.pth"), part, {})
    torch.manual_seed(0)
    found = initialised(tmp_path / "part.pth")
    fresh = [key for key in ours if key.startswith((*lacking, "stem.conv"))]
    assert_he(found, fresh)
    assert all(torch.equal(found[key], ours[key]) for key in ours if key not in fresh)
    (warning,) = [line for line in logged() if "do not match exactly" in line]
    assert "size mismatch for stem.conv.weight" in warning
    assert "missing keys in source state_dict: blocks.3.expand.conv.weight, " in warning


def test_a_halved_last_stage_keeps_he_initialisation(fake, logged):
    torch.manual_seed(0)
    whole = MobileNetV3("small", out_taps=("last",)).state_dict()
    whole = {key: torch.full_like(value, 7) for key, value in whole.items()}
    theirs = revert(whole, "timm", "mobilenetv3_small_100")
    fake("timm", create_model=giving("mobilenetv3_small_100", theirs))
    config = Config.fromfile(PARTIAL)
    init_default_scope(config.default_scope)
    model = MODELS.build(config.model)
    model.init_weights()
    found = model.backbone.state_dict()
    fresh = [key for key, value in found.items() if value.shape != whole[key].shape]
    halved = ("blocks.8.", "blocks.9.", "blocks.10.", "last.")  # C4 and what follows
    assert fresh and all(key.startswith(halved) for key in fresh)
    assert_he(found, fresh)
    assert all((found[key] == 7).all() for key in found if key not in fresh)
    (warning,) = [line for line in logged() if "do not match exactly" in line]
    for key in fresh:
        assert f"size mismatch for {key}" in warning
    said = "".join(logged())  # where each value is from
    assert "backbone.last.conv.weight - torch.Size([288, 48, 1, 1]): \nHe initialisation" in said
    assert "backbone.stem.conv.weight - torch.Size([16, 3, 3, 3]): \nPretrainedInit" in said


# ------------------------------------------------------- what cannot be had


def test_without_timm_or_network_one_line_says_so(monkeypatch, fake):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(InputError, match="timm://mixnet_s: needs timm .*pip install timm"):
        initialised("timm://mixnet_s")

    def offline(name, pretrained):
        raise OSError("no route to host\nand more")

    fake("timm", create_model=offline)
    with pytest.raises(InputError, match="timm could not give its weights: no route to host$"):
        initialised("timm://mixnet_s")
    with pytest.raises(InputError, match="model 'resnet18': must be one of"):
        initialised("timm://resnet18")
    with pytest.raises(InputError, match="absent.pth': no such file"):
        initialised("absent.pth")


def test_a_fault_in_the_library_is_not_bad_input(fake):
    fake("timm", create_model=lambda name: None)  # takes no ``pretrained``: a TypeError
    with pytest.raises(TypeError, match="unexpected keyword argument 'pretrained'"):
        hub.fetch("timm://mixnet_s")


@pytest.mark.parametrize("name", catalogue.UNTRAINED)
def test_names_without_trained_weights_are_told_before_any_download(fake, tmp_path, name):
    fake("timm", create_model=giving("nothing", {}))
    message = f"^timm://{name}: timm has no trained weights for {name}$"
    with pytest.raises(InputError, match=message):
        hub.load(f"timm://{name}")
    arguments = (f"timm://{name}", tmp_path / "ours.pth", "--source", "timm", "--model", name)
    with pytest.raises(InputError, match=message):
        tool("convert_weights")(*arguments)
    assert not list(tmp_path.iterdir())


def test_weights_that_timm_turns_out_not_to_have_are_one_line(fake):
    def create_model(name, pretrained):  # what timm 1.0.31 raises
        raise RuntimeError(f"No pretrained weights exist for {name}. Use `pretrained=False`")

    fake("timm", create_model=create_model)
    with pytest.raises(InputError, match="timm could not give its weights: No pretrained weights"):
        hub.fetch("timm://mixnet_s")


def test_a_librarys_cache_cannot_run_code(fake, tmp_path):
    class Bomb:
        def __reduce__(self):
            return open, (str(tmp_path / "created"), "w")

    torch.save(dict(state_dict=Bomb()), tmp_path / "cached.pth")

    def create_model(name, pretrained):
        return torch.load(tmp_path / "cached.pth", weights_only=False)

    fake("timm", create_model=create_model)
    with pytest.raises(InputError, match="could run code"):
        hub.fetch("timm://mixnet_s")
    assert not (tmp_path / "created").exists()


# ------------------------------------------------------ what weights assume


def test_training_says_what_pretrained_weights_assume(tmp_path, ours):
    logger = MMLogger.get_instance("assumes")
    said = []
    logger.warning = said.append
    config = Config.fromfile(ROOT / "configs/ssdlite_mixnet_pretrained.py")
    warn_pretrained(config, logger)
    assert said == []
    config.model.backbone.padding = "same"
    warn_pretrained(config, logger)
    assert said == ["timm mixnet_s: backbone.padding is same, the weights assume symmetric"]
    path = str(tmp_path / "w.safetensors")
    checkpoints.write(path, ours, catalogue.metadata("timm", "tf_mixnet_s"))
    config.model.backbone.init_cfg.checkpoint = path
    config.model.backbone.norm_cfg.eps = 1e-3
    warn_pretrained(config, logger)
    assert len(said) == 1
    config.load_from, config.model.backbone.norm_cfg.eps = path, 1e-5
    warn_pretrained(config, logger)
    assert said[1:] == [
        "timm tf_mixnet_s: backbone.norm_cfg.eps is 1e-05, the weights assume 0.001"
    ]
    config.load_from = None
    with pytest.raises(InputError, match="no such file"):
        config.model.backbone.init_cfg.checkpoint = "absent.pth"
        warn_pretrained(config, logger)
