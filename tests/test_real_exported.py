"""TensorFlow's trained detector as exported files, on photographs: `make test-real`.

See test_real_tensorflow.py for where weights and photographs come from. The runtimes of exported
files are needed too; `make test-real` installs them.
"""

import json

import pytest
from running import tool
from test_real_tensorflow import CONFIG, graph, shared, weights  # noqa: F401

pytestmark = pytest.mark.real

AP, AP50 = 0.3835, 0.5490  # in PyTorch


def settings():
    photographs = shared("real/coco")
    return [
        f"train_dataloader.dataset.data_root={photographs}/",
        f"test_dataloader.dataset.data_root={photographs}/",
        f"test_evaluator.ann_file={photographs}/annotations/instances_val2017.json",
        "test_dataloader.num_workers=0",
        "test_dataloader.persistent_workers=False",
    ]


def average_precisions(path, folder):
    out = folder / "metrics.json"
    tool("test")(CONFIG, path, "--work-dir", folder, "--out", out, "--cfg-options", *settings())
    metrics = json.loads(out.read_text())["metrics"]
    return metrics["coco/bbox_mAP"], metrics["coco/bbox_mAP_50"]


@pytest.mark.parametrize("file", ["end.onnx", "end.xml"])
def test_exported_detector_is_as_good(weights, tmp_path, file):  # noqa: F811
    form = {"onnx": "onnx", "xml": "openvino"}[file.partition(".")[2]]
    options = ("--format", form, "--end-to-end", "--preprocess", "--cfg-options", *settings())
    tool("export")(CONFIG, weights, "--out", tmp_path / file, *options)
    found = average_precisions(tmp_path / file, tmp_path)
    print(file, found)
    assert found == (pytest.approx(AP, abs=0.003), pytest.approx(AP50, abs=0.003))


@pytest.mark.parametrize("file", ["int8.onnx", "int8.xml"])
def test_int8_loses_little(weights, tmp_path, file):  # noqa: F811
    form = {"onnx": "onnx", "xml": "openvino"}[file.partition(".")[2]]
    options = ("--format", form, "--int8", CONFIG, "--cfg-options", *settings())
    tool("export")(CONFIG, weights, "--out", tmp_path / file, *options)
    found = average_precisions(tmp_path / file, tmp_path)
    print(file, found)
    assert found[0] >= AP - 0.015
