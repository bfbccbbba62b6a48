"""Non-maximum suppression at the end of an ONNX graph, and its expected results."""

from collections.abc import Mapping
from string import Template

from torch import Tensor

from mixnet_dense.export.description import CANDIDATES, Description

OUTPUTS = ("boxes", "scores", "labels", "image")
"""(M, 4) corners in pixels of the input, (M,) in [0, 1], (M,) classes, (M,) the number of the
image in the batch; by decreasing score. A batch of one gives at most ``max_per_img``."""

_MODEL = Template("""
<ir_version: $ir, opset_import: ["": $opset]>
suppression (float[n, a, 4] all_boxes, float[n, c, a] all_scores)
    => (float[detections, 4] boxes, float[detections] scores, int64[detections] labels,
        int64[detections] image)
<int64[1] nms_limit = {$limit}, float[1] nms_iou = {$iou}, float[1] nms_score = {$score},
 int64 nms_0 = {0}, int64 nms_1 = {1}, int64[2] nms_ends = {0, 2}>
{
    nms_kept = NonMaxSuppression (all_boxes, all_scores, nms_limit, nms_iou, nms_score)
    nms_scores = GatherND (all_scores, nms_kept)
    nms_count = Shape (nms_scores)
    nms_wanted = $wanted
    scores, nms_order = TopK <axis = 0> (nms_scores, nms_wanted)
    nms_sorted = Gather <axis = 0> (nms_kept, nms_order)
    nms_places = Gather <axis = 1> (nms_sorted, nms_ends)
    boxes = GatherND (all_boxes, nms_places)
    labels = Gather <axis = 1> (nms_sorted, nms_1)
    image = Gather <axis = 1> (nms_sorted, nms_0)
}""")


def append(proto, about: Description):
    """An ONNX model with `OUTPUTS` in place of the candidates.

    Args:
        proto: an ONNX model whose outputs are `CANDIDATES`.
        about: its description; ``suppression`` has ``score_thr``, ``nms`` and ``max_per_img``.
    """
    import onnx

    settings = about.suppression
    (opset,) = [entry.version for entry in proto.opset_import if entry.domain == ""]
    text = _MODEL.substitute(
        ir=proto.ir_version,
        opset=opset,
        limit=settings["max_per_img"],
        iou=float(settings["nms"]["iou_threshold"]),
        score=float(settings["score_thr"]),
        wanted="Min (nms_count, nms_limit)" if about.batch == 1 else "Identity (nms_count)",
    )
    nodes = onnx.parser.parse_model(text)
    merged = onnx.compose.merge_models(proto, nodes, [(name, name) for name in CANDIDATES])
    onnx.checker.check_model(merged)
    return merged


def expected(
    found: Mapping[str, Tensor], about: Description
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Boxes, scores and labels that should survive in each image.

    Args:
        found: ``all_boxes`` (N, A, 4) and ``all_scores`` (N, classes, A).
        about: see `append`.
    """
    from mixnet_dense.det.nms import greedy_nms  # needs mmdet; segmenters do not

    settings, boxes = about.suppression, found["all_boxes"]
    scores, order = found["all_scores"].flatten(1).sort(dim=1, descending=True, stable=True)
    labels, anchors = order // boxes.shape[1], order % boxes.shape[1]
    boxes = boxes.gather(1, anchors[..., None].expand(-1, -1, 4))
    valid, threshold = scores > settings["score_thr"], settings["nms"]["iou_threshold"]
    kept = greedy_nms(boxes, labels, valid, threshold, settings["max_per_img"])
    results = zip(boxes, scores, labels, kept, strict=True)
    return [(box[rows], score[rows], label[rows]) for box, score, label, rows in results]
