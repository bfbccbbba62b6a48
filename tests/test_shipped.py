"""What is shipped: every config's network, and the models that the demos trained, as files.

Run by ``make test-shipped`` after ``make demo`` and ``make demo-seg``; mAP and mIoU are those of
the sample's validation images.
"""

import json
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import init_default_scope

from mixnet_dense.engine.config import load_config
from mixnet_dense.engine.evaluate import evaluate
from mixnet_dense.engine.int8 import export_int8
from mixnet_dense.engine.samples import image_files
from mixnet_dense.export.description import describe
from mixnet_dense.export.exporter import Request, export, write
from mixnet_dense.export.formats import FORMATS
from mixnet_dense.export.graph import Graph, network_input
from mixnet_dense.export.hosted import exported_model
from mixnet_dense.export.sessions import Session
from mixnet_dense.export.verification import differences
from mixnet_dense.images import read_images
from mixnet_dense.registry import MODELS
from mixnet_dense.weights.load import load_model

pytestmark = pytest.mark.shipped
ROOT = Path(__file__).parents[1]
CONFIGS = sorted((ROOT / "configs").glob("*.py"))
SIZE = (96, 128)
SAMPLES = {
    "demo": ("configs/ssdlite_mixnet_sample.py", "coco/bbox_mAP", 1.0, dict()),
    "demo-seg": (
        "configs/lraspp_mobilenetv3_small_sample.py", "mIoU", 100.0,
        dict(dynamic=True, size=(192, 256)),
    ),
}  # fmt: skip
"""By folder in work_dirs: config, metric, its largest value, and how it is exported."""


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch):
    """The sample's configs name data/sample."""
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("form", ["onnx", "openvino"])
@pytest.mark.parametrize("path", CONFIGS, ids=[path.stem for path in CONFIGS])
def test_fresh_networks(path, form, tmp_path):
    """As a config initialises them, within 1e-3 of PyTorch's largest value, on real images."""
    config = Config.fromfile(path)
    init_default_scope(config.default_scope)
    torch.manual_seed(0)
    for part in (config.model, config.model.backbone):
        part.pop("init_cfg", None)  # *_pretrained: no download
    model = revert_sync_batchnorm(MODELS.build(config.model))
    model.init_weights()
    head = model.bbox_head if hasattr(model, "bbox_head") else model.decode_head
    model.dataset_meta = dict(classes=[str(index) for index in range(head.num_classes)])
    model.cfg = config
    size = describe(model.eval()).padded or SIZE
    about = describe(model, size=size, batch=1)
    images = read_images(image_files(load_config(SAMPLES["demo"][0]), "test", 2))
    graph = Graph(model, about).eval()
    file = str(tmp_path / f"model{FORMATS[form].suffix}")
    inputs = [network_input(images[:count], size, about) for count in (1, 2)]
    write(graph, form, inputs[0], file)
    found = differences(Session(file), graph, inputs)
    assert len(found) == len(about.outputs)
    assert max(found.values()) < 1e-3


def trained(name):
    """What a demo trained, and three images of its test set."""
    config = load_config(SAMPLES[name][0])
    images = read_images(image_files(config, "test", 3))
    return load_model(config, f"work_dirs/{name}"), images


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("form", ["onnx", "openvino"])
@pytest.mark.parametrize("whole", [False, True], ids=["raw", "end-to-end"])
def test_trained_models_keep_their_quality(name, form, whole, tmp_path):
    path, metric, scale, options = SAMPLES[name]
    report = json.loads((ROOT / "work_dirs" / name / "report" / "metrics.json").read_text())
    expected = report["metrics"][metric]
    assert expected > 0.3 * scale  # the demo trained something
    out = str(tmp_path / f"model{FORMATS[form].suffix}")
    request = Request(form, out, end_to_end=whole, preprocess=whole, **options)
    found = export(*trained(name), request)
    assert max(found.differences.values()) < 1e-3
    config = load_config(path)
    measured = evaluate(config, exported_model(config, out), folder=str(tmp_path))[metric]
    assert measured == pytest.approx(expected, abs=0.002 * scale)


@pytest.mark.parametrize(
    ("name", "form", "share"),
    [
        ("demo", "onnx", 0.35),
        ("demo", "openvino", 0.35),
        ("demo-seg", "onnx", 0.35),
        # its graph's text weighs as much as its weights
        ("demo-seg", "openvino", 0.55),
    ],
)
def test_int8_of_trained_models(name, form, share, tmp_path):
    path, metric, scale, options = SAMPLES[name]
    out = str(tmp_path / f"model{FORMATS[form].suffix}")
    request = Request(form, out, **options)
    found = export_int8(load_config(path), *trained(name), request)
    before, after = found[metric]
    assert before > 0.3 * scale
    assert before - after <= 0.02 * scale
    large, small = found["MB"]
    assert 1e6 * small == sum(file.stat().st_size for file in FORMATS[form].files(out))
    assert small <= share * large
