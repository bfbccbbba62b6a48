"""What runs on a GPU gives what it gives on the CPU, and a training step does not wait for it.

`make test-gpu`. Without a GPU all is skipped; ``GPU_TESTS_ON=cpu`` lets the CPU take its place,
which shows that the tests themselves run.
"""

import copy
import os

import golden
import pytest
import torch
from mmengine.optim import build_optim_wrapper
from running import tool
from test_survival import Deadly
from test_waiting import CONFIGS, build

from mixnet_dense.backbones import build_classifier
from mixnet_dense.backbones.algorithms import set_channels_last
from mixnet_dense.backbones.classifier import NAMES
from mixnet_dense.benchmark import subjects
from mixnet_dense.det.nms import greedy_nms
from mixnet_dense.det.targets import Boxes, match
from mixnet_dense.engine import gpu
from mixnet_dense.engine.compiling import compile_backbone
from mixnet_dense.engine.resume import Loader
from mixnet_dense.export import fuse

DEVICE = os.environ.get("GPU_TESTS_ON", "cuda")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        DEVICE == "cuda" and not torch.cuda.is_available(),
        reason="torch sees no GPU; GPU_TESTS_ON=cpu runs the tests on the CPU",
    ),
]
HALVES = {torch.float16: 0.05, torch.bfloat16: 0.1}
"""The relative error that a loss may have in each against float32."""
MAPS = {torch.float16: 0.05, torch.bfloat16: 0.3}
"""The same of a network's maps. On a CPU MobileNetV2's largest are 0.03 and 0.17."""


@pytest.fixture(autouse=True)
def _exact_float32(monkeypatch):
    """No TF32, which has 10 bits; the compiler forgets what it compiled before."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    torch._dynamo.reset()


def pair(name, double=True):
    """A network on the CPU and on the device, and an image for each."""
    model = golden.fill(build_classifier(name, num_classes=3).backbone)
    x = golden.image((2, 3, 64, 64)).double()
    if not double:
        model, x = subjects.build(name).eval(), x.float()  # no map so small that fp16 has 0
    return (model, x), (copy.deepcopy(model).to(DEVICE), x.to(DEVICE))


def gradients(model, x):
    loss = sum(tap.square().mean() for tap in model.train()(x))
    return [loss.detach(), *torch.autograd.grad(loss, list(model.parameters()))]


def assert_same_gradients(found, expected):
    """Some gradients are zero but for rounding: they are compared with the largest of all."""
    largest = max(float(value.abs().max()) for value in expected)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.cpu(), other, rtol=1e-6, atol=1e-8 * largest)


def assert_near(found, expected, tolerance):
    for one, other in zip(found, expected, strict=True):
        error = golden.relative_error(one.detach().cpu().double(), other.detach().double())
        assert error < tolerance


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_network(name, channels_last):
    """Forward, fused, and with gradients, in float64."""
    (model, x), (other, y) = pair(name)
    set_channels_last(other, channels_last)
    with torch.no_grad():
        expected = model(x)
        assert_near(other(y), expected, golden.TOLERANCE)
        assert_near(fuse(other)(y), expected, golden.TOLERANCE)
    assert_same_gradients(gradients(other, y), gradients(model, x))


@pytest.mark.parametrize("half", HALVES, ids=str)
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_mixed_precision(name, channels_last, half):
    (model, x), (other, y) = pair(name, double=False)
    set_channels_last(other, channels_last)
    with torch.no_grad():
        expected = model(x)
        assert_near(other(y), expected, 1e-3)
        with torch.autocast(DEVICE, half):
            found = other(y)
    assert {tap.dtype for tap in found} == {half}
    assert_near(found, expected, MAPS[half])


@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
@pytest.mark.parametrize("name", ["mixnet_s", "mobilenetv3_large"])
def test_compiled(name, backend):
    if DEVICE == "cpu" and backend == "inductor":
        pytest.skip("takes minutes on a CPU; test_compiling.py has what is quick")
    (model, x), (other, y) = pair(name)
    compile_backbone(other, backend)
    with torch.no_grad():
        assert_near(other(y), model(x), golden.TOLERANCE)
    assert_same_gradients(gradients(other, y), gradients(model, x))


def moved(data):
    """A batch of a data loader in pinned memory, as the training's loader gives it."""
    pinned = [image.pin_memory() if DEVICE == "cuda" else image for image in data["inputs"]]
    return dict(inputs=pinned, data_samples=copy.deepcopy(data["data_samples"]))


def step(model, wrapper, data):
    losses = model.train_step(moved(data), wrapper)
    return {name: float(value.detach()) for name, value in losses.items()}


@pytest.mark.parametrize("name", CONFIGS)
def test_training_step(name):
    """Losses of three steps in float32 as on the CPU, and the weights after the first."""
    config, model, data = build(name)
    other = gpu.without_waiting(copy.deepcopy(model)).to(DEVICE).train()
    both = [(each, build_optim_wrapper(each, config.optim_wrapper)) for each in (model, other)]
    model.train()
    for number in range(3):
        expected, found = (step(*each, data) for each in both)
        assert found == pytest.approx(expected, rel=1e-3, abs=1e-4)
        if not number:
            pairs = zip(other.parameters(), model.parameters(), strict=True)
            for one, reference in pairs:
                torch.testing.assert_close(one.cpu(), reference, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("half", HALVES, ids=str)
@pytest.mark.parametrize("name", CONFIGS)
def test_training_step_in_mixed_precision(name, half):
    config, model, data = build(name)
    expected = step(model.train(), build_optim_wrapper(model, config.optim_wrapper), data)
    _, model, _ = build(name)
    model = gpu.without_waiting(model).to(DEVICE).train()
    with torch.autocast(DEVICE, half):
        losses = model(**model.data_preprocessor(moved(data), True), mode="loss")
    loss, values = model.parse_losses(losses)
    loss.backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())
    assert float(loss) == pytest.approx(expected["loss"], rel=HALVES[half])


@pytest.mark.skipif(DEVICE == "cpu", reason="a CPU waits for nothing")
@pytest.mark.parametrize("amp", [False, True])
@pytest.mark.parametrize("name", CONFIGS)
def test_a_step_waits_nowhere(name, amp):
    """Two steps choose algorithms and place anchors; the third must ask the GPU for nothing."""
    config, model, data = build(name)
    config.train_dataloader.batch_size = 2
    gpu.prepare_config(config)
    if amp:
        gpu.use_amp(config, gpu.has_bfloat16())
    model = gpu.without_waiting(model).to(DEVICE).train()
    wrapper = build_optim_wrapper(model, config.optim_wrapper)
    batches = [moved(data) for _ in range(3)]
    for batch in batches[:2]:
        model.train_step(batch, wrapper)
    torch.cuda.set_sync_debug_mode("error")
    try:
        model.train_step(batches[2], wrapper)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def boxes(images, count, seed):
    random = torch.Generator().manual_seed(seed)
    corner, side = (torch.rand(images, count, 2, generator=random).double() for _ in range(2))
    return torch.cat([corner, corner + 0.05 + 0.4 * side], -1) * 320


def test_matching():
    corners = boxes(3, 8, 0)
    labels = torch.zeros(3, 8, dtype=torch.long)
    valid = torch.arange(8) < torch.tensor([[8], [3], [0]])
    arguments = boxes(1, 2000, 1)[0], Boxes(corners, labels, valid), Boxes(corners, labels, valid)
    anchors, *rest = arguments
    there = [Boxes(*(field.to(DEVICE) for field in each)) for each in rest]
    found = match(anchors.to(DEVICE), *there)
    assert torch.equal(found.cpu(), match(anchors, *rest))


def test_suppression():
    corners, labels = boxes(2, 500, 2), torch.arange(500).expand(2, -1) % 3
    valid = torch.arange(500) < torch.tensor([[500], [90]])
    expected = greedy_nms(corners, labels, valid, 0.4, 100)
    found = greedy_nms(*(each.to(DEVICE) for each in (corners, labels, valid)), 0.4, 100)
    assert [rows.tolist() for rows in found] == [rows.tolist() for rows in expected]
    assert len(found[0]) > 50


@pytest.mark.parametrize("name", CONFIGS)
def test_prediction(name):
    _, model, data = build(name)
    for sample in data["data_samples"]:
        sample.set_metainfo(dict(ori_shape=sample.img_shape))
    model.eval()
    other = copy.deepcopy(model).to(DEVICE)
    with torch.no_grad():
        expected, found = (each.test_step(moved(data)) for each in (model, other))
    for one, other in zip(found, expected, strict=True):
        if "pred_sem_seg" in other:
            same = one.pred_sem_seg.data.cpu() == other.pred_sem_seg.data
            assert same.float().mean() > 0.999
        else:  # the scores of an untrained detector are close together: their order is not its
            scores = (each.pred_instances.scores.cpu() for each in (one, other))
            torch.testing.assert_close(*scores, rtol=1e-3, atol=1e-4)


def test_batches_of_a_data_worker_that_dies_are_pinned_again(tmp_path):
    data = Deadly(tmp_path / "dead")
    plain = torch.utils.data.DataLoader(data, 2, num_workers=2, pin_memory=DEVICE == "cuda")
    batches = list(Loader.of(plain, data, seed=0))
    assert [batch.tolist() for batch in batches] == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert all(batch.is_pinned() == (DEVICE == "cuda") for batch in batches)


@pytest.mark.parametrize("task", ["detector", "segmenter"])
def test_training_with_amp(task, request, tmp_path):
    """The command; without --amp the other tests run it on the device that there is."""
    folder = request.getfixturevalue(task)
    tool("train")(folder / f"{task}.py", "--amp", "--work-dir", tmp_path)
    (log,) = tmp_path.glob("*/vis_data/scalars.json")
    assert '"loss"' in log.read_text() and "NaN" not in log.read_text()
    assert (tmp_path / "epoch_2.pth").is_file()
