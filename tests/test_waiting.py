"""A training step asks a GPU for nothing before it ends: the next step's work can be queued."""

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from running import ROOT
from waiting import no_waits

from mixnet_dense.benchmark.subjects import annotations
from mixnet_dense.engine import gpu
from mixnet_dense.registry import MODELS

CONFIGS = ("ssdlite_mobilenetv3_small", "ssdlite_mobilenetv3_small_tf", "lraspp_mobilenetv3_small")


def build(name):
    """A config, its model, and two images as a data loader gives them, one with a crowd region."""
    config = Config.fromfile(ROOT / f"configs/{name}.py")
    init_default_scope(config.default_scope)
    model = MODELS.build(config.model)
    images = torch.randint(0, 256, (2, 3, 96, 96), dtype=torch.uint8)
    samples = annotations(model, images)
    if config.default_scope == "mmdet":
        samples[0].ignored_instances = InstanceData(bboxes=torch.tensor([[8.0, 8, 60, 60]]))
    rows = zip(images, samples, strict=True)
    return config, model, pseudo_collate([dict(inputs=i, data_samples=s) for i, s in rows])


@pytest.mark.parametrize("name", CONFIGS)
def test_a_step_waits_nowhere(name):
    config, model, data = build(name)
    gpu.without_waiting(model).to("meta").train()
    wrapper = build_optim_wrapper(model, config.optim_wrapper)
    model.train_step(dict(data), wrapper)  # the anchors are placed once
    with no_waits():
        losses = model.train_step(dict(data), wrapper)
    assert all(loss.is_meta for loss in losses.values())


@pytest.mark.parametrize(
    "wait",
    [
        lambda x: bool(x.sum() > 0),
        lambda x: x.cpu(),
        lambda x: x[x > 0],
        lambda x: x.nonzero(),
        lambda x: x[[1, 0]],
        lambda x: x.new_tensor([0.1, 0.2]),
        lambda x: torch.ones(2).to(x.device),
    ],
)
def test_waits_are_found(wait):
    with pytest.raises(AssertionError), no_waits():
        wait(torch.zeros(2, device="meta"))


@pytest.mark.parametrize("name", CONFIGS[1:])
def test_images_are_the_same_without_waiting(name):
    _, model, data = build(name)
    plain, own = (dict(data) for _ in range(2))
    expected = model.data_preprocessor(plain, True)["inputs"]
    gpu.without_waiting(model)
    assert torch.equal(model.data_preprocessor(own, True)["inputs"], expected)
    assert model.data_preprocessor._non_blocking


def test_what_a_config_leaves_open_is_set_for_a_gpu():
    sgd = dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=0.1))
    config = Config(dict(optim_wrapper=sgd, train_dataloader=dict(batch_size=1)))
    gpu.prepare_config(config)
    assert config.train_dataloader.pin_memory and config.optim_wrapper.optimizer.fused
    sgd["optimizer"] |= dict(fused=False)
    config = Config(dict(optim_wrapper=sgd, train_dataloader=dict(pin_memory=False)))
    gpu.prepare_config(config)
    assert not config.train_dataloader.pin_memory and not config.optim_wrapper.optimizer.fused


@pytest.mark.parametrize(
    "given, bfloat16, expected",
    [
        ({}, True, dict(dtype="bfloat16", loss_scale=dict(enabled=False))),
        ({}, False, dict(loss_scale="dynamic")),
        (dict(dtype="float16"), True, dict(dtype="float16", loss_scale="dynamic")),
        (dict(loss_scale=512.0), True, dict(loss_scale=512.0)),
    ],
)
def test_mixed_precision_of_a_gpu(given, bfloat16, expected):
    config = Config(dict(optim_wrapper=dict(type="OptimWrapper", **given)))
    gpu.use_amp(config, bfloat16)
    assert config.optim_wrapper == dict(type="AmpOptimWrapper", **expected)
