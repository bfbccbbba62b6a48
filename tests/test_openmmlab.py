"""What users of OpenMMLab's libraries reach for: their inferencers, config names, model index."""

import inspect
import json
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.apis import DetInferencer, inference_detector, init_detector
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmengine.utils import get_installed_path
from mmseg.apis import MMSegInferencer, inference_model, init_model
from PIL import Image
from running import ROOT, shell, tool

from mixnet_dense import shipped
from mixnet_dense.backbones import MobileNetV2
from mixnet_dense.det import SSDLite
from mixnet_dense.errors import InputError
from mixnet_dense.weights.load import latest_checkpoint


@pytest.fixture
def trained(detector):
    return str(detector / "detector.py"), latest_checkpoint(detector / "work")


@pytest.fixture
def image(sample):
    return str(sample / "val2017" / "000001.jpg")


@pytest.fixture
def boxes(trained, image, tmp_path):
    """What our own command finds, as x1, y1, x2, y2 by decreasing score."""
    tool("predict")(*trained, image, "--out", tmp_path)
    rows = json.loads((tmp_path / "predictions.json").read_text())
    return np.array([(x, y, x + w, y + h) for x, y, w, h in (row["bbox"] for row in rows)])


def test_det_inferencer_finds_what_our_command_finds(trained, image, boxes):
    inferencer = DetInferencer(*trained, device="cpu", show_progress=False)
    (found,) = inferencer(image, no_save_vis=True)["predictions"]
    assert len(boxes) == 20
    np.testing.assert_allclose(found["bboxes"], boxes, atol=0.02)


def test_inference_detector_finds_what_our_command_finds(trained, image, boxes):
    found = inference_detector(init_detector(*trained, device="cpu"), image).pred_instances
    np.testing.assert_allclose(found.bboxes, boxes, atol=0.02)


def test_mmseg_inferencers_label_pixels_as_our_command_does(segmenter, image, tmp_path):
    trained = str(segmenter / "segmenter.py"), latest_checkpoint(segmenter / "work")
    tool("predict")(*trained, image, "--out", tmp_path)
    (row,) = json.loads((tmp_path / "predictions.json").read_text())
    inferencer = MMSegInferencer(*trained, device="cpu")
    labels = inferencer(image, return_vis=False)["predictions"]
    again = inference_model(init_model(*trained, device="cpu"), image).pred_sem_seg.data[0]
    np.testing.assert_array_equal(labels, again)
    np.testing.assert_array_equal(labels, Image.open(tmp_path / row["mask"]))


@pytest.mark.skipif(
    "pkg_resources" in inspect.getsource(get_installed_path),
    reason="mmengine 0.10.7 looks for packages with a module that setuptools no longer has",
)
def test_mmengine_finds_our_configs_by_their_names():
    found = get_config("mixnet_dense::_base_/../ssdlite_mixnet.py")
    assert found.model == Config.fromfile(shipped.configs() / "ssdlite_mixnet.py").model
    assert get_config("mixnet_dense::reuse/ssdlite_mixnet_new_style.py").model.type is SSDLite


@pytest.mark.parametrize("scope", ["mmdet", "mmseg", "mmpretrain"])
def test_backbones_of_one_name_stay_apart(scope):
    if find_spec(scope) is None:
        pytest.skip(f"{scope} is not installed")
    init_default_scope(scope)
    registry, name = import_module(f"{scope}.registry").MODELS, "MobileNetV2"
    with torch.device("meta"):
        found = [registry.build(dict(type=f"{part}{name}")) for part in ("", "mixnet_dense.")]
    assert type(found[0]).__module__ == f"{scope}.models.backbones.mobilenet_v2"
    assert type(found[1]) is MobileNetV2


def test_a_script_of_a_host_runs_without_compiled_operators(detector, tmp_path):
    script = ("mmdet/analysis_tools/browse_dataset.py", detector / "detector.py")
    options = ("--not-show", "--output-dir", tmp_path / "found")
    shell(ROOT / "tools/run.py", *script, *options, cwd=tmp_path).check_returncode()
    assert len(list((tmp_path / "found").iterdir())) == 8  # the training images
    with pytest.raises(InputError, match="must begin with mmdet/ or mmseg/"):
        tool("run")("mmpretrain/test.py")
    with pytest.raises(InputError, match="tools/absent.py: no such file"):
        tool("run")("mmseg/absent.py")


def test_mmengine_s_own_runner_evaluates_our_config(trained, tmp_path):
    config = Config.fromfile(trained[0])
    config.load_from, config.work_dir = trained[1], str(tmp_path)
    assert "ann_file" not in config.test_evaluator
    assert Runner.from_cfg(config).test()["coco/bbox_mAP"] >= 0  # -1 without annotations


def test_a_printed_config_is_the_config(tmp_path, capsys):
    tool("print_config")("ssdlite_mixnet", "--cfg-options", "model.backbone.arch=m")
    (tmp_path / "mine.py").write_text(capsys.readouterr().out)
    expected = Config.fromfile(Path(shipped.configs(), "ssdlite_mixnet.py"))
    expected.model.backbone.arch = "m"
    assert Config.fromfile(tmp_path / "mine.py").to_dict() == expected.to_dict()
