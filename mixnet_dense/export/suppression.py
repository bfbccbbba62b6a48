"""Non-maximum suppression as nodes at the end of an ONNX graph."""

import numpy as np
import torch
from torch import Tensor

from mixnet_dense.export.graph import CANDIDATES, Description

OUTPUTS = ("boxes", "scores", "labels", "image")
"""(M, 4) corners in pixels of the input, (M,) in [0, 1], (M,) classes, (M,) which image each
is of; by falling score over all images. Of a batch of one no more than ``max_per_img``."""


def append(proto, about: Description):
    """Replace candidate outputs by what survives within each class.

    Args:
        proto: an ONNX model with the outputs ``all_boxes`` and ``all_scores``.
        about: of the model; ``suppression`` has ``score_thr``, ``nms`` and ``max_per_img``.

    Returns:
        A new ONNX model with `OUTPUTS`.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    proto = onnx.ModelProto.FromString(proto.SerializeToString())
    settings = about.suppression
    limit = settings["max_per_img"]
    values = dict(
        nms_limit=np.array([limit], np.int64),
        nms_iou=np.array([settings["nms"]["iou_threshold"]], np.float32),
        nms_score=np.array([settings["score_thr"]], np.float32),
        nms_0=np.array(0, np.int64),
        nms_1=np.array(1, np.int64),
        nms_ends=np.array([0, 2], np.int64),
    )
    proto.graph.initializer.extend(numpy_helper.from_array(v, n) for n, v in values.items())
    boxes, scores = CANDIDATES

    def node(kind: str, inputs: list[str], outputs: list[str], **attributes):
        proto.graph.node.append(
            helper.make_node(kind, inputs, outputs, name=f"nms_{outputs[0]}", **attributes)
        )

    node("NonMaxSuppression", [boxes, scores, "nms_limit", "nms_iou", "nms_score"], ["nms_kept"])
    node("GatherND", [scores, "nms_kept"], ["nms_scores"])
    node("Shape", ["nms_scores"], ["nms_count"])
    if about.batch == 1:
        node("Min", ["nms_count", "nms_limit"], ["nms_wanted"])
    else:
        node("Identity", ["nms_count"], ["nms_wanted"])
    node("TopK", ["nms_scores", "nms_wanted"], ["scores", "nms_order"], axis=0)
    node("Gather", ["nms_kept", "nms_order"], ["nms_sorted"], axis=0)
    node("Gather", ["nms_sorted", "nms_ends"], ["nms_places"], axis=1)
    node("GatherND", [boxes, "nms_places"], ["boxes"])
    node("Gather", ["nms_sorted", "nms_1"], ["labels"], axis=1)
    node("Gather", ["nms_sorted", "nms_0"], ["image"], axis=1)
    del proto.graph.output[:]
    kinds = (TensorProto.FLOAT, TensorProto.FLOAT, TensorProto.INT64, TensorProto.INT64)
    for name, kind in zip(OUTPUTS, kinds, strict=True):
        shape = ["detections", 4] if name == "boxes" else ["detections"]
        proto.graph.output.append(helper.make_tensor_value_info(name, kind, shape))
    onnx.checker.check_model(proto)
    return proto


def expected(boxes: Tensor, scores: Tensor, about: Description) -> list[list[Tensor]]:
    """What should survive of each image's candidates: boxes, scores and labels.

    Args:
        boxes: (N, A, 4).
        scores: (N, classes, A).
        about: see `append`.
    """
    from mixnet_dense.det.nms import greedy_nms  # mmdet, which segmenters do without

    settings, found = about.suppression, []
    for places, confidence in zip(boxes, scores, strict=True):
        label, anchor = (confidence > settings["score_thr"]).nonzero(as_tuple=True)
        order = confidence[label, anchor].argsort(descending=True, stable=True)
        label, anchor = label[order], anchor[order]
        corners, valid = places[anchor], torch.ones(1, len(label), dtype=torch.bool)
        limit, threshold = settings["max_per_img"], settings["nms"]["iou_threshold"]
        kept = greedy_nms(corners[None], label[None], valid, threshold, limit)[0]
        found.append([corners[kept], confidence[label, anchor][kept], label[kept]])
    return found
