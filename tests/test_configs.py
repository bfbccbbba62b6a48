"""Every config loads, builds and takes a training step."""

from pathlib import Path

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData

from mixnet_dense.registry import MODELS

CONFIGS = sorted((Path(__file__).parents[1] / "configs").glob("*.py"))


def sample(boxes):
    meta = dict(img_shape=(64, 96), ori_shape=(64, 96), scale_factor=(1.0, 1.0))
    item = DetDataSample(metainfo=meta)
    boxes = torch.tensor(boxes).reshape(-1, 4)
    item.gt_instances = InstanceData(bboxes=boxes, labels=torch.zeros(len(boxes), dtype=int))
    item.ignored_instances = InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0).long())
    return item


@pytest.mark.parametrize("path", CONFIGS, ids=[path.stem for path in CONFIGS])
def test_config_takes_a_training_step(path):
    config = Config.fromfile(path)
    init_default_scope(config.default_scope)
    detector = MODELS.build(config.model)
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
