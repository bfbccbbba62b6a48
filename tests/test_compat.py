import importlib

import numpy as np
import pytest
import torch
from mmcv.ops import batched_nms, nms
from running import fresh

from mixnet_dense import compat

# Two boxes of 10 x 10 that share 10 x 8: IoU 80 / 120 = 2 / 3; the third lies apart.
BOXES = torch.tensor([[0.0, 0, 10, 10], [0, 2, 10, 12], [20, 20, 30, 30]])


@pytest.mark.parametrize(("threshold", "kept"), [(0.5, [1, 2]), (0.67, [1, 0, 2])])
def test_nms_drops_what_overlaps_more_than_the_threshold(threshold, kept):
    assert compat.nms(BOXES, torch.tensor([0.5, 0.9, 0.4]), threshold, 0).tolist() == kept


def test_nms_keeps_an_overlap_equal_to_the_threshold():
    boxes = torch.tensor([[0.0, 0, 4, 4], [0, 0, 4, 2]])  # IoU exactly 8 / 16
    assert compat.nms(boxes, torch.tensor([0.9, 0.8]), 0.5, 0).tolist() == [0, 1]
    assert compat.nms(boxes, torch.tensor([0.9, 0.8]), 0.49, 0).tolist() == [0]


def test_nms_offset_counts_the_last_pixel():
    boxes = torch.tensor([[0.0, 0, 9, 9], [0, 5, 9, 14]])
    # offset 0: 9 x 4 of 81 + 81 - 36, 0.286; offset 1: 10 x 5 of 100 + 100 - 50, 0.333
    scores = torch.tensor([0.9, 0.8])
    assert compat.nms(boxes, scores, 0.3, 0).tolist() == [0, 1]
    assert compat.nms(boxes, scores, 0.3, 1).tolist() == [0]


def test_nms_orders_equal_scores_as_given():
    boxes = torch.cat([BOXES[2:] + 50 * i for i in range(4)])
    assert compat.nms(boxes, torch.full((4,), 0.5), 0.5, 0).tolist() == [0, 1, 2, 3]


def test_nms_of_nothing_and_of_boxes_without_area():
    assert compat.nms(torch.zeros(0, 4), torch.zeros(0), 0.5, 0).shape == (0,)
    assert compat.nms(torch.zeros(2, 4), torch.tensor([0.1, 0.2]), 0.5, 0).tolist() == [1, 0]


def greedy(boxes, scores, threshold):
    """The definition, one pair at a time."""
    kept = []
    for index in sorted(range(len(boxes)), key=lambda i: -scores[i]):
        x1, y1, x2, y2 = boxes[index]
        for other in kept:
            a1, b1, a2, b2 = boxes[other]
            common = max(0.0, min(x2, a2) - max(x1, a1)) * max(0.0, min(y2, b2) - max(y1, b1))
            union = (x2 - x1) * (y2 - y1) + (a2 - a1) * (b2 - b1) - common
            if common / union > threshold:
                break
        else:
            kept.append(index)
    return kept


@pytest.mark.parametrize("threshold", [0.3, 0.6])
def test_mmcv_nms_and_batched_nms_follow_the_definition(threshold):
    rng = torch.Generator().manual_seed(0)
    corner, size = torch.rand(200, 2, generator=rng) * 50, torch.rand(200, 2, generator=rng) * 30
    boxes = torch.cat([corner, corner + size + 1], 1)
    scores, classes = torch.rand(200, generator=rng), torch.arange(200) % 3
    _, found = nms(boxes, scores, threshold)
    assert found.tolist() == greedy(boxes.tolist(), scores.tolist(), threshold)
    dets, found = batched_nms(boxes, scores, classes, dict(type="nms", iou_threshold=threshold))
    expected = []
    for label in range(3):
        mine = (classes == label).nonzero()[:, 0]
        local = greedy(boxes[mine].tolist(), scores[mine].tolist(), threshold)
        expected += mine[local].tolist()
    assert sorted(found.tolist()) == sorted(expected)
    assert dets[:, 4].tolist() == sorted(dets[:, 4].tolist(), reverse=True)


def test_numpy_boxes_come_back_as_numpy():
    dets, kept = nms(BOXES.numpy(), np.array([0.5, 0.9, 0.4], np.float32), 0.5)
    assert isinstance(dets, np.ndarray) and kept.tolist() == [1, 2]


def test_stand_in_says_what_is_missing():
    stand_in = importlib.import_module("mmcv._ext")
    if hasattr(stand_in, "__file__"):
        pytest.skip("this mmcv is compiled")
    with pytest.raises(RuntimeError, match="'roi_align_forward' needs a compiled mmcv"):
        stand_in.roi_align_forward(None)
    assert not hasattr(stand_in, "__path__")


def test_a_backbone_changes_nothing_in_the_process():
    fresh(
        """
        import sys, torch
        from mmengine.runner.checkpoint import CheckpointLoader
        before = torch.load, CheckpointLoader.load_checkpoint.__func__
        assert "mmcv._ext" not in sys.modules
        from mixnet_dense.backbones import MixNet
        MixNet("s").init_weights()
        assert (torch.load, CheckpointLoader.load_checkpoint.__func__) == before
        assert "mmcv._ext" not in sys.modules and "mixnet_dense.registry" not in sys.modules
        """
    )


def test_networks_need_torch_alone():
    fresh(
        """
        import torch
        from mixnet_dense.backbones import MixNet, build_classifier
        from mixnet_dense.export import fuse
        from mixnet_dense.weights import convert, revert
        torch.manual_seed(0)
        x = torch.randn(1, 3, 33, 33)
        backbone = MixNet("s").eval()
        backbone.init_weights()
        state = backbone.state_dict()
        assert [tuple(y.shape) for y in backbone(x)] == [(1, 720, 3, 3), (1, 1536, 2, 2)]
        again = convert(revert(state, "timm", "mixnet_s"), "timm", "mixnet_s")
        assert all(torch.equal(again[key], state[key]) for key in state)
        assert build_classifier("mixnet_s").eval()(x).shape == (1, 1000)
        expected = backbone(x)[1]
        assert torch.allclose(fuse(backbone)(x)[1], expected, atol=1e-4)
        """,
        blocked=("mmengine", "mmcv", "mmdet", "mmseg", "pycocotools"),
    )


def test_the_import_and_help_are_quick():
    said = fresh(
        """
        import sys, mixnet_dense
        from mixnet_dense.__main__ import main
        sys.argv[1:] = ["train", "--help"]
        try:
            main()
        finally:
            assert not {"torch", "mmengine", "mmdet", "mmseg"} & set(sys.modules)
        """
    )
    assert said.startswith("usage: mixnet-dense train")


def test_imports_are_quiet():
    hosts = "import mixnet_dense, mmdet.evaluation, mmseg.datasets; from mmengine import print_log"
    assert fresh(f"{hosts}; print_log(7)", blocked=["faster_coco_eval"]) == "7\n"


def test_package_imports_without_the_hosts():
    fresh(
        "import mixnet_dense.registry; from mixnet_dense.export import fuse, load",
        blocked=("mmdet", "mmseg"),
    )
