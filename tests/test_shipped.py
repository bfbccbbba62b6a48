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
from mixnet_dense.export.formats import FORMATS
from mixnet_dense.export.graph import Graph, describe
from mixnet_dense.export.inputs import of_split, pixels, prepared
from mixnet_dense.export.run import Request, export, write
from mixnet_dense.export.sessions import Session
from mixnet_dense.export.verification import batches, differences
from mixnet_dense.registry import MODELS

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
    options = dict(size=SIZE, batch=1, preprocess=False, end_to_end=False)
    about = describe(config, model.eval(), **options)
    sample = load_config("configs/ssdlite_mixnet_sample.py")
    images = pixels(of_split(sample, "test", 2))
    graph = Graph(model, about).eval()
    file = str(tmp_path / f"model{FORMATS[form].suffix}")
    write(graph, about, form, prepared(images[:1], SIZE, about), file)
    found = differences(Session(file), graph, batches(images, SIZE, about), print)
    assert len(found) == len(about.outputs)
    assert max(found.values()) < 1e-3


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
    found = export(load_config(path), f"work_dirs/{name}", request)
    assert max(found.differences.values()) < 1e-3
    measured = evaluate(load_config(path), out, folder=str(tmp_path))[metric]
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
    request = Request(form, out, int8=load_config(path), **options)
    found = export(load_config(path), f"work_dirs/{name}", request).int8
    print(found)
    before, after = found.metrics[metric]
    assert before > 0.3 * scale
    assert before - after <= 0.02 * scale
    large, small = found.size
    assert small == sum(file.stat().st_size for file in FORMATS[form].files(out))
    assert small <= share * large
