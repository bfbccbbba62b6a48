import math

import mmdet_loss
import pytest
import torch
from mmcv.ops import batched_nms
from mmdet.models.task_modules.assigners import MaxIoUAssigner
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData

from mixnet_dense.det import SSDLite, SSDLiteAnchorGenerator, SSDLiteHead, SSDLiteNeck
from mixnet_dense.det.nms import greedy_nms
from mixnet_dense.det.targets import (
    IGNORED,
    NEGATIVE,
    hardest_negatives,
    match,
    overlaps,
    pad_boxes,
)
from mixnet_dense.registry import MODELS

MAPS = [(20, 20), (10, 10), (5, 5), (3, 3), (2, 2), (1, 1)]


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope("mmdet")


def instances(boxes=(), labels=None):
    boxes = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    labels = torch.tensor(labels or [0] * len(boxes), dtype=torch.long)
    return InstanceData(bboxes=boxes, labels=labels)


def test_anchor_counts_of_the_papers_and_of_torchvision():
    # 400 * 3 + (100 + 25 + 9 + 4 + 1) * 6
    assert SSDLiteAnchorGenerator().anchors(MAPS, (320, 320)).shape == (2034, 4)
    # 539 places with 6 each
    six = SSDLiteAnchorGenerator(first_level=6, clip=True)
    assert six.anchors(MAPS, (320, 320)).shape == (3234, 4)
    with pytest.raises(ValueError, match="must be 3 or 6"):
        SSDLiteAnchorGenerator(first_level=4)
    with pytest.raises(ValueError, match="must have levels . 1 = 7 values"):
        SSDLiteAnchorGenerator(scales=(0.2, 0.5, 1.0))


def test_anchor_shapes_worked_by_hand():
    anchors = SSDLiteAnchorGenerator().anchors(MAPS, (320, 320))
    # first place of C4: centre 8, 8; side 0.1 * 320; then 0.2 * 320 at ratio 2 and 1 / 2
    long, short = 64 * math.sqrt(2) / 2, 64 / math.sqrt(2) / 2
    expected = [
        [8 - 16, 8 - 16, 8 + 16, 8 + 16],
        [8 - long, 8 - short, 8 + long, 8 + short],
        [8 - short, 8 - long, 8 + short, 8 + long],
    ]
    torch.testing.assert_close(anchors[:3], torch.tensor(expected))
    # C5: scale 0.2 + 0.75 / 5 = 0.35, then sqrt(0.35 * 0.5), centre 16, 16
    half = 0.35 * 320 / 2
    torch.testing.assert_close(
        anchors[1200], torch.tensor([16 - half, 16 - half] + [16 + half] * 2)
    )
    half = math.sqrt(0.35 * 0.5) * 160
    torch.testing.assert_close(
        anchors[1201], torch.tensor([16 - half, 16 - half] + [16 + half] * 2)
    )


def test_anchors_follow_the_image():
    generator = SSDLiteAnchorGenerator()
    small = generator.anchors(MAPS, (320, 320))
    large = generator.anchors(MAPS, (640, 320))
    torch.testing.assert_close(large, small * torch.tensor([1.0, 2, 1, 2]))


def test_neck_maps_and_halves():
    neck = SSDLiteNeck((672, 480))
    maps = neck((torch.zeros(2, 672, 20, 20), torch.zeros(2, 480, 10, 10)))
    assert [tuple(m.shape[1:]) for m in maps[2:]] == [
        (512, 5, 5), (256, 3, 3), (256, 2, 2), (128, 1, 1),
    ]  # fmt: skip
    scaled = SSDLiteNeck((96, 448), extra_channels=(179, 89, 89, 44))  # width 0.35
    assert [layer[0].out_channels for layer in scaled.extra_layers] == [89, 44, 44, 22]


def test_match_takes_the_best_box_and_every_box_its_best_anchor():
    anchors = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 4], [50, 50, 60, 60], [80, 80, 90, 90]])
    boxes = pad_boxes([instances([[0, 0, 10, 9], [50, 50, 60, 54]], [0, 1])], "cpu")
    none = pad_boxes([instances()], "cpu")
    # anchor 0: IoU 0.9; anchor 1: 40 / 90; anchor 2: 0.4 < 0.5 but box 1's best
    assert match(anchors, boxes, none).tolist() == [[0, NEGATIVE, 1, NEGATIVE]]


def test_crowds_are_ignored_unless_positive():
    anchors = torch.tensor([[0.0, 0, 10, 10], [20, 20, 30, 30], [40, 0, 50, 10]])
    boxes = pad_boxes([instances([[0, 0, 10, 10]], [0])], "cpu")
    crowds = pad_boxes([instances([[0, 0, 32, 32]])], "cpu")
    assert match(anchors, boxes, crowds).tolist() == [[0, IGNORED, NEGATIVE]]


def test_images_without_boxes_beside_images_with():
    anchors = torch.tensor([[0.0, 0, 10, 10], [20, 20, 30, 30]])
    batch = [instances(), instances([[0, 0, 10, 10]], [2])]
    none = pad_boxes([instances(), instances()], "cpu")
    found = match(anchors, pad_boxes(batch, "cpu"), none)
    assert found.tolist() == [[NEGATIVE, NEGATIVE], [0, NEGATIVE]]


def random_batch(images=8, seed=0):
    rng = torch.Generator().manual_seed(seed)
    batch = []
    for index in range(images):
        count = (index * 3) % 8 + 1
        corner = torch.rand(count, 2, generator=rng) * 220
        size = torch.rand(count, 2, generator=rng) * 90 + 8
        labels = torch.randint(0, 5, (count,), generator=rng)
        batch.append(InstanceData(bboxes=torch.cat([corner, corner + size], 1), labels=labels))
    return batch


def test_match_equals_mmdets_assigner(monkeypatch):
    monkeypatch.setattr("mixnet_dense.det.targets._CHUNK", 2034 * 8 * 3)  # 3 images at a time
    anchors = SSDLiteAnchorGenerator().anchors(MAPS, (320, 320))
    assigner = MaxIoUAssigner(0.5, 0.5, min_pos_iou=0.0, gt_max_assign_all=False)
    batch = random_batch()
    empty = pad_boxes([instances() for _ in batch], "cpu")
    found = match(anchors, pad_boxes(batch, "cpu"), empty)
    for row, item in zip(found, batch, strict=True):
        expected = assigner.assign(InstanceData(priors=anchors), item).gt_inds - 1
        assert torch.equal(row, expected)


def test_overlaps_worked_by_hand():
    anchors = torch.tensor([[0.0, 0, 10, 10]])
    boxes = torch.tensor([[[5.0, 0, 15, 10], [20, 20, 21, 21]]])
    torch.testing.assert_close(overlaps(anchors, boxes)[0, 0], torch.tensor([1 / 3, 0.0]))
    inside = overlaps(anchors, boxes, over_anchor=True)[0, 0]
    torch.testing.assert_close(inside, torch.tensor([0.5, 0.0]))


def test_hardest_negatives_are_summed():
    loss = torch.tensor([[4.0, 1, 3, 2], [1, 2, 3, 4]])
    negative = torch.tensor([[False, True, True, True], [True, True, True, True]])
    assert hardest_negatives(loss, negative, torch.tensor([2, 9])).tolist() == [5, 10]


def head_and_maps(images=8, classes=5):
    torch.manual_seed(0)
    channels = (16, 24, 8, 8, 8, 8)
    head = SSDLiteHead(classes, channels)
    features = [torch.randn(images, c, *size) for c, size in zip(channels, MAPS, strict=True)]
    metas = [
        dict(img_shape=(320, 320), batch_input_shape=(320, 320), scale_factor=(2.0, 4.0))
    ] * images
    return head, features, metas


def test_loss_equals_mmdets_where_that_is_right():
    head, features, metas = head_and_maps()
    batch = random_batch()
    outputs = head(features)
    losses = head.loss_by_feat(*outputs, batch, metas)

    theirs = mmdet_loss.mmdet_head(head, (320, 320))
    padded = [dict(meta, pad_shape=(320, 320)) for meta in metas]
    expected = theirs.loss_by_feat(*outputs, batch, padded)
    torch.testing.assert_close(losses["loss_cls"], sum(expected["loss_cls"]).squeeze())
    torch.testing.assert_close(losses["loss_bbox"], sum(expected["loss_bbox"]))


def test_the_losses_that_are_timed_beside_mmdets_are_equal():
    both = mmdet_loss.losses("configs/ssdlite_mobilenetv3_small.py", torch.zeros(2, 3, 320, 320))
    theirs, ours = both["mmdet"](), both["ours"]()
    torch.testing.assert_close(ours["loss_cls"], sum(theirs["loss_cls"]).squeeze())
    torch.testing.assert_close(ours["loss_bbox"], sum(theirs["loss_bbox"]))


def test_processes_with_parts_of_a_batch_have_its_gradient_together(monkeypatch):
    head, features, metas = head_and_maps()
    head.eval()  # each process has batch norm's statistics of its own images
    batch = random_batch()
    assert len(batch) > 2
    parts, counted = (slice(0, 1), slice(1, None)), []

    def gradient(part):
        outputs = head([f[part] for f in features])
        losses = head.loss_by_feat(*outputs, batch[part], metas[part])
        return torch.autograd.grad(sum(losses.values()), head.cls_convs[0][-1].weight)[0]

    whole = gradient(slice(None))
    monkeypatch.setattr("mixnet_dense.det.head.reduce_mean", lambda n: counted.append(n) or n)
    alone = [gradient(part) for part in parts]
    assert counted[0] != counted[1]
    mean = sum(counted) / 2
    monkeypatch.setattr("mixnet_dense.det.head.reduce_mean", lambda n: mean)
    torch.testing.assert_close(sum(gradient(part) for part in parts) / 2, whole)
    assert not torch.allclose(sum(alone) / 2, whole)


def test_image_without_positives_has_a_classification_loss():
    head, features, metas = head_and_maps(images=2)
    losses = head.loss_by_feat(*head(features), [instances(), instances()], metas)
    assert 0 < losses["loss_cls"].item() < math.inf
    assert losses["loss_bbox"].item() == 0
    sum(losses.values()).backward()
    weight = head.cls_convs[0][-1].weight
    assert weight.grad.abs().sum() > 0
    assert all(p.grad is not None for p in head.parameters())


def test_loss_worked_by_hand():
    head, features, metas = head_and_maps(images=1)
    scores = [torch.zeros_like(s) for s in head(features)[0]]
    deltas = [torch.zeros_like(d) for d in head(features)[1]]
    anchors = SSDLiteAnchorGenerator().anchors(MAPS, (320, 320))
    losses = head.loss_by_feat(scores, deltas, [instances(anchors[-6:-5].tolist(), [3])], metas)
    positives = (overlaps(anchors, anchors[None, -6:-5]) >= 0.5).sum()
    # every softmax is 1 / 6: each positive and three negatives for it cost ln 6
    torch.testing.assert_close(losses["loss_cls"], torch.tensor(4 * math.log(6)))
    assert positives > 1


def test_predictions_are_decoded_suppressed_and_rescaled():
    head, features, metas = head_and_maps(images=1)
    scores = [torch.zeros_like(s) for s in head(features)[0]]
    deltas = [torch.zeros_like(d) for d in head(features)[1]]
    scores[5][0, 2] = 5.0  # the last map's first anchor, class 2
    found = head.predict_by_feat(
        scores, deltas, batch_img_metas=metas, cfg=dict(score_thr=0.5), rescale=True
    )
    assert found[0].labels.tolist() == [2]
    # softmax of (5, 0, 0, 0, 0, 0)
    assert found[0].scores.item() == pytest.approx(math.exp(5) / (math.exp(5) + 5))
    # a centred square of 0.95 * 320 pixels, divided by the scale factors 2 and 4
    edges = [160 - 152, 160 + 152]
    expected = [edges[0] / 2, edges[0] / 4, edges[1] / 2, edges[1] / 4]
    assert found[0].bboxes[0].tolist() == pytest.approx(expected)


def test_greedy_nms_equals_mmcvs_image_by_image():
    random = torch.Generator().manual_seed(0)
    corner = torch.rand(3, 200, 2, generator=random) * 100
    boxes = torch.cat([corner, corner + torch.rand(3, 200, 2, generator=random) * 60], -1)
    labels = torch.randint(3, (3, 200), generator=random)
    scores = torch.rand(3, 200, generator=random).sort(1, descending=True).values
    valid = scores > torch.tensor([[0.1], [0.5], [2.0]])  # nothing is valid in the third
    found = greedy_nms(boxes, labels, valid, 0.4, 200)
    for index in range(3):
        ok = valid[index]
        nms = dict(type="nms", iou_threshold=0.4)
        if index == 2:
            assert found[2].tolist() == []
            continue
        _, expected = batched_nms(boxes[index][ok], scores[index][ok], labels[index][ok], nms)
        assert found[index].tolist() == expected.tolist()
    assert len(found[0]) > 20  # some were dropped, many were not
    few = greedy_nms(boxes, labels, valid, 0.4, 5)
    assert [row.tolist() for row in few] == [row[:5].tolist() for row in found]
    none = greedy_nms(boxes[:, :0], labels[:, :0], valid[:, :0], 0.4, 5)
    assert [row.tolist() for row in none] == [[], [], []]


def test_a_box_that_is_dropped_drops_no_other():
    # In one row, each over its neighbours only: the second is dropped, so the third stays. With
    # 300 such boxes this goes on from one chunk of candidates to the next.
    left = torch.arange(300.0)
    boxes = torch.stack([left, torch.zeros(300), left + 1.5, torch.ones(300)], -1)[None]
    labels, valid = torch.zeros(1, 300, dtype=torch.long), torch.ones(1, 300, dtype=torch.bool)
    (found,) = greedy_nms(boxes, labels, valid, 0.21, 300)  # IoU of neighbours: 0.5 / 2.5
    assert found.tolist() == list(range(300))
    (found,) = greedy_nms(boxes, labels, valid, 0.19, 300)
    assert found.tolist() == list(range(0, 300, 2))


def test_other_suppressions_are_mmcvs():
    head, features, metas = head_and_maps(images=2)
    head.eval()
    with torch.no_grad():
        maps = head(features)
        plain = head.predict_by_feat(*maps, batch_img_metas=metas)
        cfg = dict(nms=dict(type="nms", iou_threshold=0.6, split_thr=10000))
        mmcvs = head.predict_by_feat(*maps, batch_img_metas=metas, cfg=cfg)
    for found, expected in zip(plain, mmcvs, strict=True):
        assert len(found) > 5
        torch.testing.assert_close(found.bboxes, expected.bboxes)
        assert found.labels.tolist() == expected.labels.tolist()


def test_predictions_obey_their_limits():
    head, features, metas = head_and_maps(images=2)
    outputs = head.eval()(features)
    found = head.predict_by_feat(*outputs, batch_img_metas=metas, cfg=dict(max_per_img=7))
    assert [len(item) for item in found] == [7, 7]
    nothing = head.predict_by_feat(*outputs, batch_img_metas=metas, cfg=dict(score_thr=1.0))
    assert [len(item) for item in nothing] == [0, 0]
    with pytest.raises(ValueError, match="unknown.*max_per_image.*allowed"):
        head.predict_by_feat(*outputs, batch_img_metas=metas, cfg=dict(max_per_image=7))


@pytest.mark.parametrize("shape", [(1, 1), (33, 65), (320, 320)])
@pytest.mark.parametrize("training", [True, False])
def test_one_image_of_any_size_trains_and_predicts(shape, training):
    backbone = dict(type="mixnet_dense.MixNet", arch="s", width=0.35)
    detector = SSDLite(backbone, bbox_head=dict(num_classes=3)).train(training)
    head = detector.bbox_head
    metas = [dict(img_shape=shape, batch_input_shape=shape)]
    outputs = detector(torch.zeros(1, 3, *shape), mode="tensor")
    if training:  # the last maps are 1 x 1: batch norm over a single value
        losses = head.loss_by_feat(*outputs, [instances([[0, 0, *shape[::-1]]])], metas)
        sum(losses.values()).backward()
        assert all(p.grad.isfinite().all() for p in detector.parameters())
    else:
        assert len(head.predict_by_feat(*outputs, batch_img_metas=metas)) == 1


# Of MobileNetV2 0.35: 6 * 32 channels of the expansion at stride 32, 448 = 1280 * 0.35 of the
# last convolution; 0.35 * (512, 256, 256, 128), cut to integers.
V2_035 = dict(type="mixnet_dense.MobileNetV2", arch="detection", width=0.35)
WIDTHS = (192, 448, 179, 89, 89, 44)


def widths(detector):
    return tuple(conv[-1].in_channels for conv in detector.bbox_head.cls_convs)


def test_detector_takes_its_widths_from_the_backbone():
    detector = SSDLite(V2_035, bbox_head=dict(num_classes=3))
    assert widths(detector) == WIDTHS
    scores, boxes = detector(torch.zeros(1, 3, 64, 64), mode="tensor")
    assert [score.shape[1] for score in scores] == [3 * 4] + [6 * 4] * 5
    narrow = dict(type="mixnet_dense.MobileNetV3", arch="small", width=0.05)
    detector = SSDLite(narrow, bbox_head=dict(num_classes=3))
    assert widths(detector)[2:] == (25, 16, 16, 16)  # never fewer than 16


def test_widths_that_the_config_gives_are_taken():
    neck = dict(extra_channels=(32, 16, 16, 20))
    assert widths(SSDLite(V2_035, neck, dict(num_classes=3))) == (192, 448, 32, 16, 16, 20)
    theirs = dict(type="mmdet.MobileNetV2", out_indices=(4, 7))
    neck = dict(in_channels=(96, 1280), extra_channels=(32, 16, 16, 20))
    assert widths(SSDLite(theirs, neck, dict(num_classes=3))) == (96, 1280, 32, 16, 16, 20)
    with pytest.raises(
        ValueError, match="neck.in_channels: must be given, MobileNetV2 has no taps"
    ):
        SSDLite(theirs, bbox_head=dict(num_classes=3))


def test_detector_has_the_weights_of_one_with_typed_widths():
    config = dict(
        type="SingleStageDetector",
        backbone=V2_035,
        neck=dict(
            type="mixnet_dense.SSDLiteNeck", in_channels=WIDTHS[:2], extra_channels=WIDTHS[2:]
        ),
        bbox_head=dict(type="mixnet_dense.SSDLiteHead", num_classes=3, in_channels=WIDTHS),
        test_cfg=dict(max_per_img=7),
    )
    torch.manual_seed(0)
    typed = MODELS.build(config)
    typed.init_weights()
    torch.manual_seed(0)
    read = SSDLite(V2_035, bbox_head=dict(num_classes=3), test_cfg=dict(max_per_img=7))
    read.init_weights()
    expected = typed.state_dict()
    assert list(read.state_dict()) == list(expected)
    assert all(torch.equal(value, expected[key]) for key, value in read.state_dict().items())
    assert read.bbox_head.test_cfg == typed.bbox_head.test_cfg
