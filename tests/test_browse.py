"""Sheets of augmented training images."""

import base64
import re

import cv2
import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from running import TINY_DETECTOR, TINY_SEGMENTER, tool

from mixnet_dense.engine.browse import _detector, _matched
from mixnet_dense.engine.config import load_config
from mixnet_dense.errors import InputError


@pytest.fixture
def config(tmp_path, prepared):
    def write(text):
        (tmp_path / "c.py").write_text(text.replace("SAMPLE", str(prepared)))
        return tmp_path / "c.py"

    return write


def pictures(page):
    for code in re.findall(r'<img src="data:image/jpeg;base64,([^"]+)" alt="', page):
        yield cv2.imdecode(np.frombuffer(base64.b64decode(code), np.uint8), cv2.IMREAD_COLOR)


def test_a_sheet_has_boxes_and_their_anchors(config, tmp_path):
    tool("browse")(config(TINY_DETECTOR), "--out", tmp_path / "sheet.html", "--count", 9)
    page = (tmp_path / "sheet.html").read_text()
    assert [image.shape for image in pictures(page)] == [(576, 576, 3)] * 9  # 192 x 192 enlarged
    captions = re.findall("<figcaption>(.*?)</figcaption>", page)
    assert captions[6].startswith("000005.jpg, boxes: 0")  # the ninth of eight images is one again
    assert all("their anchors: " in text for text in captions if "boxes: 0" not in text)
    assert "c: 9 of 8 training images" in page and "IoU of 0.5 with the box" in page
    assert not re.search(r'(src|href)="(?!data:)', page) and "://" not in page


def test_a_sheet_has_label_maps(config, tmp_path):
    tool("browse")(config(TINY_SEGMENTER), "--out", tmp_path / "sheet.html", "--count", 2)
    page = (tmp_path / "sheet.html").read_text()
    assert [image.shape for image in pictures(page)] == [(512, 512, 3)] * 2  # 64 x 64 crops
    assert "anchors" not in page


def test_matched_anchors_are_those_of_the_loss(config):
    init_default_scope("mmdet")
    model = _detector(load_config(str(config(TINY_DETECTOR))))
    anchors = model.bbox_head.prior_generator.anchors(
        [(12, 12), (6, 6), (3, 3), (2, 2), (1, 1), (1, 1)], (192, 192)
    )
    boxes = torch.stack([anchors[-1], torch.tensor([100.0, 100, 103, 103])])
    instances = InstanceData(bboxes=boxes, labels=torch.tensor([0, 1]))
    sample = DetDataSample(metainfo=dict(img_shape=(192, 192)))
    sample.gt_instances, sample.ignored_instances = instances, InstanceData(bboxes=boxes[:0])
    found, best = _matched(sample, model)
    assert best[0] == pytest.approx(1) and best[1] < 0.5
    assert (found[:, :4] == anchors[-1]).all(1).any()
    (forced,) = found[found[:, 4] == 0]  # the small box has one anchor, which does not fit
    assert forced[0] < 101 < forced[2]


def test_bad_input_is_one_line(config, tmp_path):
    text = TINY_DETECTOR + "\ntrain_dataloader = None\n"
    with pytest.raises(InputError, match="no train_dataloader to take images from"):
        tool("browse")(config(text), "--out", tmp_path / "sheet.html")
    assert not (tmp_path / "sheet.html").exists()
