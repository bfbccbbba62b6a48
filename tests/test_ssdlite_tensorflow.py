"""SSDLite as TensorFlow's Object Detection API has it: losses, anchors, resize, padding."""

import math

import numpy as np
import pytest
import torch
from mmdet.structures.bbox import HorizontalBoxes
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from running import ROOT

from mixnet_dense.det import (
    SigmoidLoss,
    SoftmaxLoss,
    SSDLiteAnchorGenerator,
    SSDLiteHead,
    SSDLiteNeck,
    TensorFlowResize,
)
from mixnet_dense.export.description import pipeline_resize
from mixnet_dense.export.fuse import fuse
from mixnet_dense.images import tensorflow_resize


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope("mmdet")


# ---------------------------------------------------------------------- losses

# One image, two anchors, two classes and the background; sigmoid(ln 3) is 3 / 4.
LOGITS = torch.tensor([[[math.log(3), 0, -math.log(3)], [0, 0, 0]]])
TARGET = torch.tensor([[0, 2]])  # class 0, background


def test_softmax_loss_worked_by_hand():
    # softmax of (3, 1, 1 / 3): 9 / 13; of three equal ones: 1 / 3
    expected = torch.tensor([[math.log(13 / 9), math.log(3)]])
    torch.testing.assert_close(SoftmaxLoss()(LOGITS, TARGET), expected)


def test_sigmoid_loss_worked_by_hand():
    # class 0 hit at 3 / 4, class 1 missed at 1 / 2, background missed at 1 / 4
    first = math.log(4 / 3) + math.log(2) + math.log(4 / 3)
    expected = torch.tensor([[first, 3 * math.log(2)]])
    for background_as_zeros in (True, False):  # at 1 / 2 both cost ln 2
        loss = SigmoidLoss(background_as_zeros)(LOGITS, TARGET)
        torch.testing.assert_close(loss, expected)


def test_background_is_zeros_or_a_class_of_its_own():
    logits, target = LOGITS[:, :1], torch.tensor([[2]])  # background at 1 / 4
    others = math.log(4) + math.log(2)
    zeros = SigmoidLoss()(logits, target)
    own = SigmoidLoss(background_as_zeros=False)(logits, target)
    assert zeros.item() == pytest.approx(others + math.log(4 / 3))
    assert own.item() == pytest.approx(others + math.log(4))


def test_focal_loss_worked_by_hand():
    # hit: 3 / 4 * (1 / 4)^2 ln 4 / 3; missed: 1 / 4 * p^2 of the cross-entropies
    hit = 0.75 / 16 * math.log(4 / 3)
    missed = 0.25 * (math.log(2) / 4 + math.log(4 / 3) / 16)
    loss = SigmoidLoss(alpha=0.75, gamma=2.0)(LOGITS, TARGET)
    assert loss[0, 0].item() == pytest.approx(hit + missed)
    assert loss[0, 1].item() == pytest.approx(3 * 0.25 / 4 * math.log(2))


# ------------------------------------------------------------------------ head


def head(**options):
    torch.manual_seed(0)
    return SSDLiteHead(5, (8,) * 6, **options)


SIGMOID = dict(type="mixnet_dense.SigmoidLoss")
SIDES = (8, 4, 2, 1, 1, 1)


def outputs(model, value=0.0):
    """Equal scores and no offsets for every anchor of one image."""
    anchors = model.num_base_priors
    scores = [torch.full((1, 6 * a, n, n), value) for a, n in zip(anchors, SIDES, strict=True)]
    deltas = [torch.zeros(1, 4 * a, n, n) for a, n in zip(anchors, SIDES, strict=True)]
    return scores, deltas


META = [dict(batch_input_shape=(64, 64), img_shape=(64, 64), scale_factor=(1.0, 1.0))]


def test_scores_are_sigmoids_without_the_background():
    model = head(loss_cls=SIGMOID)
    scores, deltas = outputs(model)
    scores[0][0, :6, 0, 0] = torch.tensor([0, 1.0, 0, 0, 0, 50.0])  # the background is the last
    (found,) = model.predict_by_feat(scores, deltas, batch_img_metas=META)
    assert found.scores[0].item() == pytest.approx(torch.tensor(1.0).sigmoid().item())
    assert found.labels[0] == 1 and found.scores[1].item() == pytest.approx(0.5)


def test_fused_head_keeps_its_kind_of_score():
    for loss, expected in ((SIGMOID, 0.5), (dict(type="mixnet_dense.SoftmaxLoss"), 1 / 6)):
        fused = fuse(head(loss_cls=loss))
        assert fused.loss_cls is None
        confidences = fused.confidences(outputs(fused)[0])
        assert confidences.shape == (1, (64 * 3 + 6 * (16 + 4 + 3)), 5)
        torch.testing.assert_close(confidences, torch.full_like(confidences, expected))


@pytest.mark.parametrize(("ratio", "counted"), [(3, 1 + 3), (None, 330)])
def test_all_negatives_count_where_there_is_no_ratio(ratio, counted):
    model = head(loss_cls=SIGMOID, train_cfg=dict(neg_pos_ratio=ratio))
    # small beside every anchor: only the one it overlaps most stands for it
    item = InstanceData(bboxes=torch.tensor([[20.0, 20, 23, 23]]), labels=torch.tensor([0]))
    loss = model.loss_by_feat(*outputs(model), [item], META)
    # each of the anchors that count costs six sigmoids of 1 / 2
    assert loss["loss_cls"].item() == pytest.approx(counted * 6 * math.log(2))


def test_weight_of_the_boxes():
    item = InstanceData(bboxes=torch.tensor([[1.0, 1, 63, 63]]), labels=torch.tensor([0]))
    losses = []
    for weight in (1.0, 0.25):
        model = head(loss_cls=SIGMOID, train_cfg=dict(loss_bbox_weight=weight))
        losses.append(model.loss_by_feat(*outputs(model), [item], META)["loss_bbox"].item())
    assert losses[1] == pytest.approx(losses[0] / 4) and losses[0] > 0


# --------------------------------------------------------------------- anchors


def test_anchors_in_tensorflows_order():
    generator = SSDLiteAnchorGenerator(inverses=(0.5, 0.3333), mean_last=True)
    scale = 0.2 + 0.75 / 5
    sides = [
        (scale, scale),
        (scale * math.sqrt(2), scale / math.sqrt(2)),
        (scale * math.sqrt(0.5), scale / math.sqrt(0.5)),
        (scale * math.sqrt(3), scale / math.sqrt(3)),
        (scale * math.sqrt(0.3333), scale / math.sqrt(0.3333)),
        (math.sqrt(scale * 0.5),) * 2,
    ]
    np.testing.assert_allclose(generator.shapes[1], sides, rtol=1e-12)
    first = [(0.1, 0.1), (0.2 * math.sqrt(2), 0.2 / math.sqrt(2))]
    np.testing.assert_allclose(generator.shapes[0][:2], first, rtol=1e-12)
    with pytest.raises(ValueError):
        SSDLiteAnchorGenerator(inverses=(0.5,))


# ---------------------------------------------------------------------- resize


def test_resize_reads_where_tensorflow_reads():
    # columns of the result at 0, 2 / 3, 4 / 3 of the image, rows at 0, 1 / 2, 1, 3 / 2
    image = np.array([[0, 3], [6, 9]], np.uint8)[..., None]
    expected = np.array([[0, 2, 3], [3, 5, 6], [6, 8, 9], [6, 8, 9]], np.float32)
    found = tensorflow_resize(image, 3, 4)
    assert found.dtype == np.float32 and found.shape == (4, 3, 1)
    np.testing.assert_allclose(found[..., 0], expected, atol=1e-5)


def test_resize_to_the_same_size_and_from_one_pixel():
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    np.testing.assert_array_equal(tensorflow_resize(image, 7, 5), image)
    pixel = np.broadcast_to(image[0, 0], (3, 4, 3))
    np.testing.assert_array_equal(tensorflow_resize(image[:1, :1], 4, 3), pixel)


def test_transform_moves_boxes_too():
    results = dict(
        img=np.zeros((20, 40, 3), np.uint8), gt_bboxes=HorizontalBoxes([[4.0, 4, 40, 20]])
    )
    results = TensorFlowResize(scale=(30, 30))(results)
    assert results["img"].shape == (30, 30, 3) and results["img"].dtype == np.float32
    assert results["img_shape"] == (30, 30) and results["scale_factor"] == (0.75, 1.5)
    assert results["gt_bboxes"].tensor.tolist() == [[3, 6, 30, 30]]
    with pytest.raises(ValueError, match="keep_ratio=True: must be False"):
        TensorFlowResize(scale=(30, 30), keep_ratio=True)


def test_exported_files_are_of_the_size_that_images_are_stretched_to():
    config = Config.fromfile(ROOT / "configs" / "ssdlite_mobilenetv2_tf.py")
    expected = dict(resized=(300, 300), keep_ratio=False, resize="TensorFlowResize")
    assert pipeline_resize(config) == expected


# ------------------------------------------------------------------------ neck


def test_neck_pads_below_and_right_of_even_maps():
    neck = SSDLiteNeck((8, 8), (8, 8, 8, 8), padding="same").eval()
    conv = neck.extra_layers[0][1].depthwise_conv.conv
    torch.nn.init.ones_(conv.weight)
    # windows of 3 start at each even pixel; the last has one pixel beside the map
    x = torch.ones(1, 4, 4, 4)
    assert conv(x)[0, 0].tolist() == [[9, 6], [6, 4]]
    # of an odd map they start one pixel before it
    assert conv(torch.ones(1, 4, 3, 3))[0, 0].tolist() == [[4, 4], [4, 4]]
    maps = neck([torch.ones(1, 8, 19, 19), torch.ones(1, 8, 10, 10)])
    assert [level.shape[-1] for level in maps] == [19, 10, 5, 3, 2, 1]


def test_padding_changes_no_key_and_no_odd_map():
    torch.manual_seed(0)
    same, plain = (SSDLiteNeck((8, 8), padding=kind).eval() for kind in ("same", "symmetric"))
    same.load_state_dict(plain.state_dict())
    maps = [torch.randn(1, 8, 9, 9), torch.randn(1, 8, 5, 5)]
    found, expected = same(maps), plain(maps)  # 5, 3, 2 and then 1
    assert torch.equal(found[2], expected[2]) and torch.equal(found[3], expected[3])
    assert not torch.equal(found[4], expected[4])
    with pytest.raises(ValueError, match="padding='valid'"):
        SSDLiteNeck((8, 8), padding="valid")
