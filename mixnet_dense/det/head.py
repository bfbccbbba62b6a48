"""SSDLite's head: mmdet's SSDHead, repaired and with the papers' defaults.

Papers: https://arxiv.org/abs/1512.02325 (SSD), https://arxiv.org/abs/1801.04381
(SSDLite). Deviations from mmdet 3.3's SSDHead: inference works; an image without
positives has a classification loss (of ``min_negatives`` anchors, as in the released
SSDLite configurations); anchors are fractions of the image; matching and mining run for
the whole batch; anchors inside a crowd region are not negatives.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmcv.ops import batched_nms
from mmdet.models.dense_heads import SSDHead
from mmdet.registry import MODELS as HOST_MODELS
from mmdet.utils import reduce_mean
from mmengine.structures import InstanceData
from torch import Tensor

from mixnet_dense.backbones.blocks import own_norm
from mixnet_dense.det.neck import INIT
from mixnet_dense.det.nms import greedy_nms
from mixnet_dense.det.targets import NEGATIVE, hardest_negatives, match, pad_boxes
from mixnet_dense.registry import MODELS

_TRAIN = dict(
    iou_threshold=0.5, crowd_iof=0.5, neg_pos_ratio=3, min_negatives=3, loss_bbox_weight=1.0
)
_TEST = dict(nms_pre=1000, score_thr=0.01, nms=dict(type="nms", iou_threshold=0.6), max_per_img=100)


@MODELS.register_module()
class SSDLiteHead(SSDHead):
    """Two separable heads per map: 3x3 depthwise, batch norm, ReLU6, 1x1 with bias.

    Args:
        num_classes: without the background, which has the last slot.
        in_channels: of each map.
        anchor_generator: see `SSDLiteAnchorGenerator`.
        bbox_coder: `BoxCoder` or another of mmdet's; variances 0.1 and 0.2 as in SSD.
        loss_cls: `SoftmaxLoss` or `SigmoidLoss`; scores are the softmax or the sigmoid.
        norm_cfg, act_cfg, init_cfg: as in mmcv.
        train_cfg: ``iou_threshold``, ``crowd_iof`` (see `targets.match`); ``neg_pos_ratio``,
            hard negatives per positive, None for all negatives; ``min_negatives``, the least
            number of hard negatives per image; ``loss_bbox_weight``.
        test_cfg: ``nms_pre`` candidates (anchor and class) per image before decoding,
            ``score_thr``, ``nms`` (any of mmcv's; plain ``nms`` runs for the batch at once
            and stops at ``max_per_img``), ``max_per_img``. A detector passes both on.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: Sequence[int],
        anchor_generator=dict(type="mixnet_dense.SSDLiteAnchorGenerator"),
        bbox_coder=dict(type="mixnet_dense.BoxCoder", target_stds=(0.1, 0.1, 0.2, 0.2)),
        loss_cls=dict(type="mixnet_dense.SoftmaxLoss"),
        norm_cfg=dict(type="BN"),
        act_cfg=dict(type="ReLU6"),
        train_cfg=None,
        test_cfg=None,
        init_cfg=INIT,
    ):
        super().__init__(
            num_classes=num_classes,
            in_channels=tuple(in_channels),
            use_depthwise=True,
            norm_cfg=own_norm(norm_cfg),
            act_cfg=act_cfg,
            anchor_generator=anchor_generator,
            bbox_coder=bbox_coder,
            init_cfg=init_cfg,
        )
        self.loss_cls = HOST_MODELS.build(loss_cls)
        self.use_sigmoid_cls = self.loss_cls.use_sigmoid  # kept when `fuse` removes the loss
        self.train_cfg = _merge("train_cfg", _TRAIN, train_cfg)
        self.test_cfg = _merge("test_cfg", _TEST, test_cfg)

    @property
    def class_convs(self) -> dict[str, int]:
        """See `weights.transfer`."""
        return {f"cls_convs.{level}.1": 1 for level in range(len(self.cls_convs))}

    def _flatten(self, maps: Sequence[Tensor], channels: int) -> Tensor:
        """Maps (N, anchors * channels, H, W) to (N, A, channels) in anchor order."""
        rows = [level.permute(0, 2, 3, 1).reshape(len(level), -1, channels) for level in maps]
        return torch.cat(rows, 1).float()

    def confidences(self, cls_scores: Sequence[Tensor]) -> Tensor:
        """Maps (N, anchors * (num_classes + 1), H, W) to scores (N, A, num_classes) in [0, 1]."""
        logits = self._flatten(cls_scores, self.cls_out_channels)
        return (logits.sigmoid() if self.use_sigmoid_cls else logits.softmax(-1))[..., :-1]

    def _anchors(self, maps: Sequence[Tensor], image_metas: Sequence[dict]) -> Tensor:
        meta = image_metas[0]
        image = meta.get("batch_input_shape") or meta["img_shape"]
        sizes = [level.shape[-2:] for level in maps]
        return self.prior_generator.anchors(sizes, image, maps[0].device)

    def loss_by_feat(
        self,
        cls_scores,
        bbox_preds,
        batch_gt_instances,
        batch_img_metas,
        batch_gt_instances_ignore=None,
    ) -> dict[str, Tensor]:
        """Class and smooth L1 losses over the positives of the batch (SSD, equation 1).

        Args:
            cls_scores: maps (N, anchors * (num_classes + 1), H, W).
            bbox_preds: maps (N, anchors * 4, H, W).
            batch_gt_instances: ``bboxes`` (n, 4) in pixels and ``labels`` of each image.
            batch_img_metas: with ``batch_input_shape``.
            batch_gt_instances_ignore: crowd regions of each image.

        Returns:
            ``loss_cls`` and ``loss_bbox``, scalars divided by the number of positives
            (an image without any counts as one). Several processes divide by their mean
            number, so that their mean gradient is that of one with all images.
        """
        scores = self._flatten(cls_scores, self.cls_out_channels)
        deltas = self._flatten(bbox_preds, 4)
        anchors = self._anchors(cls_scores, batch_img_metas)
        crowds = [
            item if item is not None and "bboxes" in item else _nothing(anchors)
            for item in batch_gt_instances_ignore or [None] * len(batch_gt_instances)
        ]
        boxes = pad_boxes(batch_gt_instances, anchors.device)
        with torch.no_grad():
            matched = match(
                anchors,
                boxes,
                pad_boxes(crowds, anchors.device),
                self.train_cfg["iou_threshold"],
                self.train_cfg["crowd_iof"],
            )
        positive = matched >= 0
        total = reduce_mean(positive.sum(1).clamp(min=1).sum().float())
        loss_cls = self._classification(scores, matched, boxes.labels)
        loss_bbox = self._regression(deltas, anchors, matched, boxes.corners)
        loss_bbox = self.train_cfg["loss_bbox_weight"] * loss_bbox
        return dict(loss_cls=loss_cls / total, loss_bbox=loss_bbox / total)

    def _regression(
        self, deltas: Tensor, anchors: Tensor, matched: Tensor, corners: Tensor
    ) -> Tensor:
        """The loss summed over positives. The others are not left out, as that waits for a GPU."""
        positive = (matched >= 0)[..., None]
        wanted = anchors = anchors.expand(len(matched), -1, -1)
        if corners.shape[1]:
            found = corners.gather(1, matched.clamp(min=0)[..., None].expand_as(anchors))
            wanted = torch.where(positive, found, anchors)
        target = self.bbox_coder.encode(anchors.flatten(0, 1), wanted.flatten(0, 1))
        loss = F.smooth_l1_loss(deltas, target.view_as(deltas), reduction="none")
        return torch.where(positive, loss, 0.0).sum()

    def _classification(self, scores: Tensor, matched: Tensor, labels: Tensor) -> Tensor:
        """The loss summed over positives and over the hardest, or all, negatives."""
        target = torch.full_like(matched, self.num_classes)
        if labels.shape[1]:
            found = labels.gather(1, matched.clamp(min=0))
            target = torch.where(matched >= 0, found, target)
        loss = self.loss_cls(scores, target)
        positive = matched >= 0
        if self.train_cfg["neg_pos_ratio"] is None:
            return (loss * (positive | (matched == NEGATIVE))).sum()
        wanted = self.train_cfg["neg_pos_ratio"] * positive.sum(1)
        wanted = wanted.clamp(min=self.train_cfg["min_negatives"])
        hardest = hardest_negatives(loss, matched == NEGATIVE, wanted)
        return (loss * positive).sum() + hardest.sum()

    def predict_by_feat(
        self,
        cls_scores,
        bbox_preds,
        score_factors=None,
        batch_img_metas=None,
        cfg=None,
        rescale=False,
        with_nms=True,
    ) -> list[InstanceData]:
        """Boxes of each image by decreasing score.

        Args:
            cls_scores, bbox_preds: as in `loss_by_feat`.
            batch_img_metas: with ``batch_input_shape``, ``img_shape`` and, to rescale,
                ``scale_factor``.
            cfg: replaces ``test_cfg``.
            rescale: give boxes in pixels of the original image.
            with_nms: False keeps overlapping boxes.

        Returns:
            `InstanceData` with ``bboxes`` (n, 4), ``scores`` (n,) in [0, 1], ``labels``.
        """
        cfg = _merge("cfg", _TEST, cfg) if cfg else self.test_cfg
        anchors = self._anchors(cls_scores, batch_img_metas)
        scores = self.confidences(cls_scores)
        deltas = self._flatten(bbox_preds, 4)
        count = min(cfg["nms_pre"], scores[0].numel())
        best, places = scores.flatten(1).topk(count, 1)
        labels = places % self.num_classes
        places = places // self.num_classes
        deltas = deltas.gather(1, places[..., None].expand(-1, -1, 4))
        boxes = self.bbox_coder.decode(anchors[places].flatten(0, 1), deltas.flatten(0, 1))
        boxes = _clip(boxes.view_as(deltas), [meta["img_shape"] for meta in batch_img_metas])
        if rescale:
            factors = [tuple(meta["scale_factor"]) * 2 for meta in batch_img_metas]
            boxes = boxes / boxes.new_tensor(factors)[:, None]
        valid = best > cfg["score_thr"]
        greedy = dict(cfg["nms"], iou_threshold=0) == dict(type="nms", iou_threshold=0)
        if with_nms and greedy:
            limit, threshold = cfg["max_per_img"], cfg["nms"]["iou_threshold"]
            chosen = greedy_nms(boxes, labels, valid, threshold, limit)
        else:
            chosen = list(valid)
        results = []
        for index, rows in enumerate(chosen):
            result = InstanceData(
                bboxes=boxes[index][rows], scores=best[index][rows], labels=labels[index][rows]
            )
            results.append(_suppress(result, cfg) if with_nms and not greedy else result)
        return results


def _clip(boxes: Tensor, shapes: Sequence[tuple[int, int]]) -> Tensor:
    """Boxes (N, K, 4) cut at the borders of their images, (height, width) each."""
    limits = boxes.new_tensor([(width, height) * 2 for height, width in shapes])[:, None]
    return torch.minimum(boxes.clamp(min=0), limits)


def _nothing(anchors: Tensor) -> InstanceData:
    return InstanceData(bboxes=anchors.new_zeros(0, 4))


def _suppress(result: InstanceData, cfg) -> InstanceData:
    """Another method of mmcv's, within each class; at most ``max_per_img`` boxes remain."""
    if len(result):
        _, kept = batched_nms(result.bboxes, result.scores, result.labels, cfg["nms"])
        result = result[kept]
    return result[: cfg["max_per_img"]]


def _merge(name: str, defaults: dict, given) -> dict:
    unknown = set(given or ()) - set(defaults)
    if unknown:
        raise ValueError(f"{name}: unknown {sorted(unknown)}, allowed are {sorted(defaults)}")
    return {**defaults, **(given or {})}
