"""Every network and both tasks run compiled and in mixed precision, with the same results.

The compiler's own code generation takes minutes a network and is torch's; here the
captured graphs run eagerly.
"""

import golden
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mixnet_dense.backbones import build_classifier
from mixnet_dense.benchmark.subjects import annotations
from mixnet_dense.engine.compiling import compile_backbone
from mixnet_dense.export import fuse
from mixnet_dense.registry import MODELS

NETWORKS = (
    "mixnet_s",
    "mobilenetv1",
    "mobilenetv2",
    "mobilenetv3_large",
    "mobilenetv3_small",
    "mnasnet_a1",
)


TRAINED = ("mixnet_s", "mobilenetv3_small")
"""Their training step runs compiled, which says it of the forward pass too."""


@pytest.fixture(autouse=True)
def _fresh_compiler():
    torch._dynamo.reset()


def gradients(model, x):
    loss = sum(map(lambda tap: tap.float().square().mean(), model(x)))
    return [loss, *torch.autograd.grad(loss, list(model.parameters()))]


def test_compiled_network():
    """The one whose blocks have no expansion; the trained ones have all the other kinds."""
    model = build_classifier("mobilenetv1", num_classes=3).backbone.double().eval()
    keys = list(model.state_dict())
    x = golden.image((2, 3, 64, 64)).double()
    with torch.no_grad():
        expected = model(x)
        found = compile_backbone(model, "aot_eager")(x)
    for one, other in zip(found, expected, strict=True):
        assert golden.relative_error(one, other) < golden.TOLERANCE
    assert list(model.state_dict()) == keys


@pytest.mark.parametrize("name", TRAINED)
def test_compiled_training_step(name):
    """In float64, where rounding does not grow through batch norms."""
    model = build_classifier(name, num_classes=3).backbone.double().train()
    x = golden.image((2, 3, 64, 64)).double()
    expected = gradients(model, x)
    found = gradients(compile_backbone(model, "aot_eager"), x)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("config", ["ssdlite_mobilenetv3_small", "lraspp_mobilenetv3_small"])
def test_both_tasks_train_compiled_in_mixed_precision(config):
    config = Config.fromfile(f"configs/{config}.py")
    init_default_scope(config.default_scope)
    torch.manual_seed(0)
    model = MODELS.build(config.model).train()
    x = golden.image((2, 3, 96, 96))
    samples = annotations(model, x)

    def step():
        with torch.autocast("cpu", torch.bfloat16):
            losses = model(x, samples, mode="loss")
        total = sum(value for name, value in losses.items() if "loss" in name)
        total.backward()
        assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
        return float(total.detach())

    expected = step()
    compile_backbone(model, "aot_eager")
    assert step() == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("name", NETWORKS)
def test_mixed_precision(name):
    torch.manual_seed(0)
    model = build_classifier(name, num_classes=3).backbone.eval()
    x = golden.image((2, 3, 64, 64))
    with torch.no_grad():
        expected = model(x)
        for one in (model, fuse(model)):
            with torch.autocast("cpu", torch.bfloat16):
                found = one(x)
            assert {tap.dtype for tap in found} == {torch.bfloat16}
            for value, other in zip(found, expected, strict=True):
                assert golden.relative_error(value.float(), other) < 0.1
