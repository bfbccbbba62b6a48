"""The crop of SSD in one step against mmdet's two."""

import numpy as np
import pytest
import torch
from mmdet.datasets.transforms import Expand, MinIoURandomCrop
from mmdet.structures.bbox import HorizontalBoxes

from mixnet_dense.det.transforms import ExpandMinIoURandomCrop
from mixnet_dense.registry import TRANSFORMS

MEAN = (123.675, 116.28, 103.53)
BOXES = [[10.0, 20.0, 60.0, 70.0], [80.0, 5.0, 110.0, 50.0], [40.0, 40.0, 119.0, 79.0]]


def _scene(boxes=BOXES) -> dict:
    rng = np.random.default_rng(0)
    return dict(
        img=rng.integers(0, 255, (80, 120, 3), dtype=np.uint8),
        img_shape=(80, 120),
        gt_bboxes=HorizontalBoxes(torch.tensor(boxes).reshape(-1, 4)),
        gt_bboxes_labels=np.arange(len(boxes)),
        gt_ignore_flags=np.zeros(len(boxes), bool),
    )


def _ours(**settings):
    return TRANSFORMS.build(dict(type="mixnet_dense.ExpandMinIoURandomCrop", mean=MEAN, **settings))


def _hosts():
    return Expand(mean=MEAN), MinIoURandomCrop()


@pytest.mark.parametrize("ratio", [1.0, 2.5])
def test_same_result_as_mmdets_pair_for_one_window(monkeypatch, ratio):
    """Canvas, place and window fixed: pixels, boxes and labels are mmdet's."""
    canvas = (int(80 * ratio), int(120 * ratio))
    corner = (0, 0) if ratio == 1 else (50, 31)
    window = (5, 12, min(canvas[0], 110), min(canvas[1], 100))
    expand, crop = _hosts()
    monkeypatch.setattr(expand, "_random_prob", lambda: 0.0)
    monkeypatch.setattr(expand, "_random_ratio", lambda: ratio)
    monkeypatch.setattr(expand, "_random_left_top", lambda *_: corner[::-1])
    expected = expand(_scene())
    top, left, bottom, right = window
    expected["img"] = expected["img"][top:bottom, left:right]
    kept = expected["gt_bboxes"].centers
    kept = (kept > torch.tensor([left, top])) & (kept < torch.tensor([right, bottom]))
    kept = kept.all(1)
    boxes = expected["gt_bboxes"][kept]
    boxes.translate_([-left, -top])
    boxes.clip_([bottom - top, right - left])

    ours = _ours()
    monkeypatch.setattr(ours, "_canvas", lambda *_: (canvas, corner))
    monkeypatch.setattr(ours, "_window", lambda *_: window)
    found = ours(_scene())
    assert np.array_equal(found["img"], expected["img"])
    assert found["img_shape"] == expected["img"].shape[:2]
    assert torch.equal(found["gt_bboxes"].tensor, boxes.tensor)
    assert 0 < len(boxes) <= 3
    assert np.array_equal(found["gt_bboxes_labels"], np.flatnonzero(kept.numpy()))
    assert len(found["gt_ignore_flags"]) == len(boxes)


def test_same_odds_as_mmdets_pair():
    """Sizes of the crops and boxes kept, over 600 draws: means within four standard errors."""

    def draw(transforms) -> np.ndarray:
        np.random.seed(3)
        rows = []
        for _ in range(600):
            scene = _scene()
            for transform in transforms:
                scene = transform(scene)
            sides = scene["gt_bboxes"].tensor[:, 2:] - scene["gt_bboxes"].tensor[:, :2]
            height, width = scene["img"].shape[:2]
            surround = (scene["img"] == np.array(MEAN[::-1]).astype(np.uint8)).all(-1).mean()
            rows.append([height, width, len(sides), float(sides.mean()), surround])
        return np.array(rows)

    ours, hosts = draw([_ours()]), draw(_hosts())
    errors = np.sqrt((ours.var(0) + hosts.var(0)) / len(ours))
    assert (np.abs(ours.mean(0) - hosts.mean(0)) < 4 * errors).all()


def test_an_overlap_asked_for_is_had():
    ours = _ours(prob=0, min_ious=(0.3,), min_crop_size=0.3)
    np.random.seed(0)
    sizes = set()
    for _ in range(60):
        scene = ours(_scene([[20.0, 10.0, 100.0, 70.0]]))
        height, width = scene["img"].shape[:2]
        sizes.add((height, width))
        assert len(scene["gt_bboxes"]) == 1
        assert 0.5 <= height / width <= 2 or (height, width) == (80, 120)
    assert len(sizes) > 20


def test_images_without_boxes_are_cropped_too():
    np.random.seed(1)
    sizes = {_ours()(_scene([]))["img"].shape[:2] for _ in range(40)}
    assert len(sizes) > 20


def test_a_window_beside_the_image_shows_the_mean(monkeypatch):
    ours = _ours()
    monkeypatch.setattr(ours, "_canvas", lambda *_: ((320, 480), (0, 0)))
    monkeypatch.setattr(ours, "_window", lambda *_: (200, 200, 300, 310))
    found = ours(_scene([]))["img"]
    assert found.shape == (100, 110, 3) and found.dtype == np.uint8
    assert (found == np.array([103, 116, 123], np.uint8)).all()


def test_masks_are_refused():
    with pytest.raises(ValueError, match="gt_seg_map: not cropped here"):
        _ours()({**_scene(), "gt_seg_map": np.zeros((80, 120))})


def test_a_shrinking_canvas_is_refused():
    with pytest.raises(ValueError, match="from 1 up"):
        ExpandMinIoURandomCrop(ratio_range=(0.5, 4))
