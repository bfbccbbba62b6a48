"""Every config loads, builds, takes a training step and predicts."""

from pathlib import Path

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData, PixelData
from mmseg.structures import SegDataSample

from mixnet_dense.registry import MODELS

CONFIGS = sorted((Path(__file__).parents[1] / "configs").glob("*.py"))
DETECTORS = [path for path in CONFIGS if path.stem.startswith("ssdlite_")]
SEGMENTERS = [path for path in CONFIGS if "raspp_" in path.stem]


def built(path):
    config = Config.fromfile(path)
    init_default_scope(config.default_scope)
    return MODELS.build(config.model)


def labelled(num_classes):
    meta = dict(img_shape=(64, 96), ori_shape=(64, 96))
    labels = torch.randint(0, num_classes, (1, 64, 96))
    labels[:, :8] = 255
    return SegDataSample(gt_sem_seg=PixelData(data=labels), metainfo=meta)


def test_every_config_is_tested():
    assert {*DETECTORS, *SEGMENTERS} == {*CONFIGS}


@pytest.mark.parametrize("path", SEGMENTERS, ids=[path.stem for path in SEGMENTERS])
def test_segmenter_takes_a_training_step(path):
    segmenter = built(path)
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


def test_segmenters_train_on_the_window_they_pool_over():
    # 769 pixels are 49 at output stride 16 and 25 at 32: the gate's windows
    for path in SEGMENTERS:
        config = Config.fromfile(path)
        head = config.model.decode_head
        if path.stem.startswith("lraspp_") and head.pool:
            stride = config.model.backbone.output_stride
            assert head.pool == {16: 49, 32: 25}[stride] == -(-769 // stride)


def sample(boxes):
    meta = dict(img_shape=(64, 96), ori_shape=(64, 96), scale_factor=(1.0, 1.0))
    item = DetDataSample(metainfo=meta)
    boxes = torch.tensor(boxes).reshape(-1, 4)
    item.gt_instances = InstanceData(bboxes=boxes, labels=torch.zeros(len(boxes), dtype=int))
    item.ignored_instances = InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0).long())
    return item


@pytest.mark.parametrize("path", DETECTORS, ids=[path.stem for path in DETECTORS])
def test_detector_takes_a_training_step(path):
    detector = built(path)
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


@pytest.mark.parametrize("path", CONFIGS, ids=[path.stem for path in CONFIGS])
def test_config_header_tells_how_to_run_it(path):
    text = path.read_text()
    assert f"tools/train.py configs/{path.name}" in text or "make demo" in text
    assert "trained here" in text.lower() or "make demo" in text or "weights" in text


def test_learning_rate_is_of_the_batch_it_names():
    config = Config.fromfile(CONFIGS[0].parent / "ssdlite_mixnet.py")
    # mmdet's recipe: 0.015 for 8 x 24 images; scaled by mmengine to what is really used
    assert config.optim_wrapper.optimizer.lr == 0.015
    assert config.auto_scale_lr == dict(enable=True, base_batch_size=8 * 24)
    assert config.train_dataloader.batch_size == 24


def test_schedule_is_as_long_as_it_says():
    config = Config.fromfile(CONFIGS[0].parent / "lraspp_mobilenetv3_large.py")
    steps = config.train_cfg.max_epochs * 2975 / config.auto_scale_lr.base_batch_size
    assert steps == pytest.approx(160_000, rel=0.001)
    assert config.optim_wrapper.optimizer.lr == 0.01
