"""The configs of configs/reuse train a few steps on the sample and are evaluated."""

import math
import sys
from importlib import import_module

import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import init_default_scope
from running import ROOT, tool

from mixnet_dense.engine.config import load_config
from mixnet_dense.engine.settings import check_packages, kind_of
from mixnet_dense.errors import InputError
from mixnet_dense.registry import MODELS

FOLDER = ROOT / "configs" / "reuse"
CONFIGS = sorted(path.stem for path in FOLDER.glob("*.py"))
OTHER_STRIDE = [("deeplabv3plus_mobilenetv3", 8), ("fcn_mobilenetv3", 16)]
NEEDS = {"faster_rcnn_mixnet": "torchvision", "ssdlite_timm": "timm"}


def skip_without(package):
    """A torchvision for another torch, which timm imports, raises RuntimeError."""
    try:
        import_module(package)
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"{package}: {error}")


def train(name, data, folder, capsys, *options):
    """Train two steps, evaluate, and return the metrics that the log prints."""
    config = load_config(f"reuse/{name}")
    size = dict(batch_size=4, num_workers=0, persistent_workers=False, dataset=dict(data_root=data))
    config.merge_from_dict(dict(train_dataloader=size, val_dataloader=dict(size, batch_size=1)))
    config.merge_from_dict(dict(train_cfg=dict(max_epochs=1, val_interval=1)))
    if "ann_file" in config.val_evaluator:
        config.val_evaluator.ann_file = data + "annotations/instances_val2017.json"
    config.dump(folder / "config.py")
    tool("train")(folder / "config.py", "--work-dir", folder / "work", *options)
    return capsys.readouterr().out


@pytest.mark.parametrize("name", CONFIGS)
def test_a_reuse_config_is_short_and_builds(name):
    assert len((FOLDER / f"{name}.py").read_text().splitlines()) <= 30
    if name == "ssdlite_timm":  # the others are built without what they need to run
        skip_without("timm")
    config = load_config(f"reuse/{name}")
    init_default_scope(config.default_scope)
    with torch.device("meta"):
        model = MODELS.build(config.model)
    assert model.with_neck or model.with_decode_head


@pytest.mark.parametrize(("name", "package"), NEEDS.items())
def test_a_package_that_a_config_needs_is_named(name, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=f"config: needs {package}: import of {package} halted"):
        check_packages(load_config(f"reuse/{name}"))


@pytest.mark.parametrize("name", [name for name in CONFIGS if name.endswith("_new_style")])
def test_a_new_style_config_is_what_mmengine_reads(name):
    config = load_config(f"reuse/{name}", ["model.backbone.width=0.5"])
    theirs = Config.fromfile(FOLDER / f"{name}.py")
    assert issubclass(theirs.model.type, BaseModel)
    theirs.model.backbone.width = 0.5
    assert config.to_dict() == theirs.to_dict()
    assert "read_base" not in config and kind_of(config.model.backbone).startswith("M")


@pytest.mark.reuse
@pytest.mark.parametrize("name", CONFIGS)
def test_a_reuse_config_trains_and_is_evaluated(name, prepared, tmp_path, capsys):
    skip_without(NEEDS.get(name, "mmdet"))
    said = train(name, f"{prepared}/", tmp_path, capsys)
    loss = float(said.partition(" loss: ")[2].split()[0])
    assert math.isfinite(loss) and loss > 0
    assert "coco/bbox_mAP: " in said or "mIoU: " in said


@pytest.mark.reuse
@pytest.mark.parametrize(("name", "stride"), OTHER_STRIDE)
def test_a_segmenter_trains_at_the_other_output_stride(name, stride, prepared, tmp_path, capsys):
    option = f"model.backbone.output_stride={stride}"
    assert "mIoU: " in train(name, f"{prepared}/", tmp_path, capsys, "--cfg-options", option)
