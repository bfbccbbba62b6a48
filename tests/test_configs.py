"""Every config loads and builds; one of each kind takes a training step and predicts."""

import ast
import functools
import re
from pathlib import Path

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData, PixelData
from mmseg.structures import SegDataSample

from mixnet_dense.costs.zoo import title_and_figure
from mixnet_dense.registry import DATASETS, MODELS
from mixnet_dense.seg import RASPPHead

FOLDER = Path(__file__).parents[1] / "configs"
CONFIGS = sorted(path.stem for path in FOLDER.glob("*.py"))
DETECTORS = [name for name in CONFIGS if name.startswith("ssdlite_")]
SEGMENTERS = [name for name in CONFIGS if name.startswith(("lraspp_", "raspp_"))]
VARIANTS = ("_pretrained", "_sample")  # each over the file of its own model


@functools.cache
def config_of(name):
    return Config.fromfile(FOLDER / f"{name}.py")


def built(name, device="cpu"):
    config = config_of(name)
    init_default_scope(config.default_scope)
    with torch.device(device):
        return MODELS.build(config.model)


def test_every_config_is_tested():
    assert {*DETECTORS, *SEGMENTERS} == {*CONFIGS}


@pytest.mark.parametrize("name", DETECTORS)
def test_detector_fits_its_backbone_and_its_data(name):
    detector = built(name, "meta")
    taps = [detector.backbone.taps[tap].channels for tap in detector.backbone.out_taps]
    assert detector.neck.extra_layers[0][0].conv.in_channels == taps[-1]
    width = detector.backbone.width
    extra = [max(16, int(channels * width)) for channels in (512, 256, 256, 128)]
    widths = [conv[-1].in_channels for conv in detector.bbox_head.cls_convs]
    assert widths == [*taps, *extra]
    dataset = config_of(name).train_dataloader.dataset
    classes = dataset.get("metainfo", dict(classes=range(80)))["classes"]
    assert detector.bbox_head.num_classes == len(classes)


@pytest.mark.parametrize("name", SEGMENTERS)
def test_segmenter_fits_its_backbone_and_its_data(name):
    config, segmenter = config_of(name), built(name, "meta")
    taps = [segmenter.backbone.taps[tap] for tap in segmenter.backbone.out_taps]
    head = segmenter.decode_head
    if isinstance(head, RASPPHead):
        assert [head.in_channels] == [tap.channels for tap in taps]
    else:
        assert head.in_channels == tuple(tap.channels for tap in taps) and taps[0].stride == 8
    # 769 pixels of a crop are 49 at output stride 16 and 25 at 32: the gate's windows
    if getattr(head, "pool", None):
        assert head.pool == -(-769 // taps[-1].stride)
    assert config.model.data_preprocessor.size == config.crop_size
    dataset = config.train_dataloader.dataset
    meta = dataset.get("metainfo", DATASETS.get(dataset.type).METAINFO)
    assert head.num_classes == len(meta["classes"])


def labelled(num_classes):
    meta = dict(img_shape=(64, 96), ori_shape=(64, 96))
    labels = torch.randint(0, num_classes, (1, 64, 96))
    labels[:, :8] = 255
    return SegDataSample(gt_sem_seg=PixelData(data=labels), metainfo=meta)


@pytest.mark.parametrize(
    "name",
    ["lraspp_mixnet", "lraspp_mobilenetv3_large_torchvision", "lraspp_mobilenetv3_small_os32",
     "raspp_mobilenetv2_reduced", "raspp_mobilenetv2_voc"],
)  # fmt: skip
def test_segmenter_takes_a_training_step(name):
    segmenter = built(name)
    segmenter.data_preprocessor.size = (64, 96)
    classes = segmenter.num_classes
    images = [torch.randint(0, 256, (3, 64, 96), dtype=torch.uint8)] * 2
    data = dict(inputs=images, data_samples=[labelled(classes), labelled(classes)])
    losses = segmenter(**segmenter.data_preprocessor(data, True), mode="loss")
    losses["decode.loss_ce"].backward()
    # untrained: about the entropy of equally likely classes
    assert 0.5 < losses["decode.loss_ce"] / torch.tensor(float(classes)).log() < 3
    assert all(p.grad is not None and p.grad.isfinite().all() for p in segmenter.parameters())
    data = dict(inputs=images[:1], data_samples=[labelled(classes)])
    (found,) = segmenter.eval()(**segmenter.data_preprocessor(data, False), mode="predict")
    assert found.pred_sem_seg.data.shape == (1, 64, 96)


def sample(boxes):
    meta = dict(img_shape=(64, 96), ori_shape=(64, 96), scale_factor=(1.0, 1.0))
    item = DetDataSample(metainfo=meta)
    boxes = torch.tensor(boxes).reshape(-1, 4)
    item.gt_instances = InstanceData(bboxes=boxes, labels=torch.zeros(len(boxes), dtype=int))
    item.ignored_instances = InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0).long())
    return item


@pytest.mark.parametrize(
    "name",
    ["ssdlite_mixnet_sample", "ssdlite_mnasnet_035", "ssdlite_mobilenetv1_mix357",
     "ssdlite_mobilenetv2_mmdet", "ssdlite_mobilenetv2_tf", "ssdlite_mobilenetv3_large_torchvision",
     "ssdlite_mobilenetv3_small_tf"],
)  # fmt: skip
def test_detector_takes_a_training_step(name):
    detector = built(name)
    data = dict(
        inputs=[torch.randint(0, 256, (3, 64, 96), dtype=torch.uint8)] * 2,
        data_samples=[sample([[10.0, 10, 60, 50]]), sample([])],
    )
    losses = detector(**detector.data_preprocessor(data, True), mode="loss")
    loss = sum(losses.values())
    loss.backward()
    assert loss.isfinite() and loss > 0
    assert all(p.grad is not None for p in detector.parameters())
    found = detector.eval()(**detector.data_preprocessor(data, False), mode="predict")
    assert len(found) == 2 and found[0].pred_instances.bboxes.shape[1] == 4


@pytest.mark.parametrize("name", CONFIGS)
def test_header_tells_the_model_its_figure_and_how_to_run_it(name):
    title, figure = title_and_figure(FOLDER / f"{name}.py")
    head = ("SSDLite", "ssdlite") if name in DETECTORS else ("R-ASPP", "LR-ASPP", "lraspp")
    assert any(word in title for word in head)
    source = r"(MobileNetV3 tables?|MixConv table) \d"
    assert figure is None or re.match(rf"\d\d\.\d+ m(AP|IoU) on .+ \({source}", figure)
    text = (FOLDER / f"{name}.py").read_text()
    command = "make demo" if name.endswith("_sample") else f"tools/train.py configs/{name}.py"
    assert re.search(rf"^#   (python )?{command}", text, re.MULTILINE)


@pytest.mark.parametrize("name", [name for name in CONFIGS if name.endswith("_pretrained")])
def test_pretrained_config_starts_from_the_weights_of_its_own_network(name):
    config, (title, _) = config_of(name), title_and_figure(FOLDER / f"{name}.py")
    assert "from timm's ImageNet weights" in title
    backbone = config.model.backbone
    scheme, _, weights = backbone.init_cfg.checkpoint.partition("://")
    family = backbone.type.rpartition(".")[2].lower()
    assert scheme == "timm" and weights.removesuffix("_100") == f"{family}_{backbone.arch}"
    assert backbone.norm_cfg == dict(type="BN", eps=1e-5, momentum=0.03)  # eps is timm's


def bases_of(name):
    for node in ast.parse((FOLDER / f"{name}.py").read_text()).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == "_base_":
            found = ast.literal_eval(node.value)
            return [found] if isinstance(found, str) else found
    return []


@pytest.mark.parametrize("name", CONFIGS)
def test_no_model_is_built_on_the_file_of_another(name):
    bases = bases_of(name)
    if name.endswith(VARIANTS):
        (base,) = [Path(base).stem for base in bases]
        assert name.startswith(base) and not base.endswith(VARIANTS)
    else:
        kinds = [Path(base).parent.as_posix() for base in bases]
        runtime = [] if name.endswith("_finetune") else ["_base_"]  # that schedule brings it
        assert kinds == ["_base_/models", "_base_/datasets", "_base_/schedules", *runtime]


def test_learning_rate_is_of_the_batch_it_names():
    config = config_of("ssdlite_mixnet")
    # mmdet's recipe: 0.015 for 8 x 24 images; --auto-scale-lr scales it to what is really used
    assert config.optim_wrapper.optimizer.lr == 0.015
    assert config.auto_scale_lr == dict(enable=False, base_batch_size=8 * 24)
    assert config.train_dataloader.batch_size == 24
    for name in ("ssdlite_mixnet_sample", "lraspp_mobilenetv3_small_sample"):
        config = config_of(name)
        batch = config.train_dataloader.batch_size
        assert config.auto_scale_lr == dict(enable=False, base_batch_size=batch)


def test_schedule_is_as_long_as_it_says():
    config = config_of("lraspp_mobilenetv3_large")
    steps = config.train_cfg.max_epochs * 2975 / config.auto_scale_lr.base_batch_size
    assert steps == pytest.approx(160_000, rel=0.001)
    assert config.optim_wrapper.optimizer.lr == 0.01
