"""The configs of configs/reuse train a few steps on the sample and are evaluated."""

import math
import sys
from importlib import import_module

import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import init_default_scope
from PIL import Image
from running import ROOT, tool

from mixnet_dense.backbones import build_classifier
from mixnet_dense.checkpoints import read
from mixnet_dense.engine.config import load_config
from mixnet_dense.engine.settings import check_packages, kind_of
from mixnet_dense.errors import InputError
from mixnet_dense.files import read_json
from mixnet_dense.registry import MODELS

FOLDER = ROOT / "configs" / "reuse"
CONFIGS = sorted(path.stem for path in FOLDER.glob("*.py"))
OTHER_STRIDE = [("deeplabv3plus_mobilenetv3", 8), ("fcn_mobilenetv3", 16)]
CLASSIFIERS = ("mixnet_imagenet", "mixnet_imagenet_new_style", "mixnet_transfer")
NEEDS = {
    "faster_rcnn_mixnet": "torchvision",
    "ssdlite_timm": "timm",
    **dict.fromkeys(CLASSIFIERS, "mmpretrain"),
}
BUILT_WITH = {**NEEDS, "faster_rcnn_mixnet": "mmdet"}  # what it runs with may be missing


@pytest.fixture(scope="session")
def crops(sample, tmp_path_factory):
    """The sample's objects as images in train/CLASS/ and val/CLASS/."""
    folder = tmp_path_factory.mktemp("crops")
    for split in ("train", "val"):
        content = read_json(sample / f"annotations/instances_{split}2017.json")
        names = {row["id"]: row["name"] for row in content["categories"]}
        files = {row["id"]: row["file_name"] for row in content["images"]}
        for name in names.values():
            (folder / split / name).mkdir(parents=True)
        for row in content["annotations"]:
            x, y, w, h = row["bbox"]
            image = Image.open(sample / f"{split}2017" / files[row["image_id"]])
            out = folder / split / names[row["category_id"]] / f"{row['id']}.png"
            image.crop((x, y, x + w, y + h)).save(out)
    return folder


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
    steps = dict(max_epochs=1) if "max_epochs" in config.train_cfg else dict(max_iters=1)
    config.merge_from_dict(dict(train_cfg=dict(steps, val_interval=1)))
    config.default_hooks.logger.interval = 1
    if name in CLASSIFIERS:
        config.merge_from_dict(dict(model=dict(num_classes=4), val_evaluator=dict(topk=(1,))))
        config.param_scheduler = config.param_scheduler[:1]  # the next one begins after the end
    if "ann_file" in config.val_evaluator:
        config.val_evaluator.ann_file = data + "annotations/instances_val2017.json"
    config.dump(folder / "config.py")
    tool("train")(folder / "config.py", "--work-dir", folder / "work", *options)
    return capsys.readouterr().out


@pytest.mark.parametrize("name", CONFIGS)
def test_a_reuse_config_is_short_and_builds(name):
    assert len((FOLDER / f"{name}.py").read_text().splitlines()) <= 30
    config = load_config(f"reuse/{name}")
    skip_without(BUILT_WITH.get(name, "mmdet"))
    init_default_scope(config.default_scope)
    with torch.device("meta"):
        model = MODELS.build(config.model)
    assert sum(parameter.numel() for parameter in model.parameters()) > 100_000


@pytest.mark.parametrize(("name", "package"), NEEDS.items())
def test_a_package_that_a_config_needs_is_named(name, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=f"config: needs {package}: import of {package} halted"):
        check_packages(load_config(f"reuse/{name}"))


@pytest.mark.parametrize("name", [name for name in CONFIGS if name.endswith("_new_style")])
def test_a_new_style_config_is_what_mmengine_reads(name):
    skip_without(NEEDS.get(name, "mmdet"))
    network = "model" if name in CLASSIFIERS else "model.backbone"
    config = load_config(f"reuse/{name}", [f"{network}.width=0.5"])
    theirs = Config.fromfile(FOLDER / f"{name}.py")
    assert issubclass(theirs.model.type, BaseModel)
    theirs.merge_from_dict({f"{network}.width": 0.5})
    assert config.to_dict() == theirs.to_dict()
    built = config.model.get("backbone", config.model)
    assert "read_base" not in config and kind_of(built).startswith("M")


@pytest.mark.reuse
@pytest.mark.parametrize("name", CONFIGS)
def test_a_reuse_config_trains_and_is_evaluated(name, prepared, crops, tmp_path, capsys):
    skip_without(NEEDS.get(name, "mmdet"))
    data = crops if name in CLASSIFIERS else prepared
    said = train(name, f"{data}/", tmp_path, capsys)
    loss = float(said.partition(" loss: ")[2].split()[0])
    assert math.isfinite(loss) and loss > 0
    assert any(f"{metric}: " in said for metric in ("coco/bbox_mAP", "mIoU", "accuracy/top1"))


@pytest.mark.reuse
def test_a_classification_network_is_transferred_to_other_classes(crops, tmp_path, capsys):
    skip_without("mmpretrain")
    torch.save(build_classifier("mixnet_s").state_dict(), tmp_path / "ours.pth")
    option = f"load_from={tmp_path / 'ours.pth'}"
    said = train("mixnet_transfer", f"{crops}/", tmp_path, capsys, "--cfg-options", option)
    own = build_classifier("mixnet_s", num_classes=4).state_dict()
    kept = f"{len(own) - 2} of {len(own)} tensors kept; 2 start anew, first 'classifier.weight'"
    assert kept in said
    work, out = tmp_path / "work", tmp_path / "metrics.json"
    data = f"test_dataloader.dataset.data_root={crops}"
    options = (data, "test_evaluator.topk=(1,)")
    tool("test")(tmp_path / "config.py", work, "--out", out, "--cfg-options", *options)
    assert 0 <= read_json(out)["metrics"]["accuracy/top1"] <= 100
    image = next(crops.glob("val/coin/*.png"))
    with pytest.raises(InputError, match="the model gives neither boxes nor a label map"):
        tool("predict")(tmp_path / "config.py", work, image, "--out", tmp_path / "found")
    state = read(str(work / "iter_1.pth"))[0]
    build_classifier("mixnet_s", num_classes=4).load_state_dict(state)


@pytest.mark.reuse
@pytest.mark.parametrize(("name", "stride"), OTHER_STRIDE)
def test_a_segmenter_trains_at_the_other_output_stride(name, stride, prepared, tmp_path, capsys):
    option = f"model.backbone.output_stride={stride}"
    assert "mIoU: " in train(name, f"{prepared}/", tmp_path, capsys, "--cfg-options", option)
