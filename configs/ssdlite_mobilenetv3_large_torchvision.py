# torchvision's ssdlite320_mobilenet_v3_large: COCO at 320 x 320.
# 6 anchors on every map, clipped to the image, inputs in [-1, 1]. Takes torchvision's weights
# through mixnet_dense.weights.convert.
#   python tools/train.py configs/ssdlite_mobilenetv3_large_torchvision.py
_base_ = [
    "_base_/models/ssdlite.py",
    "_base_/datasets/coco_by_id.py",
    "_base_/schedules/coco_600e.py",
    "_base_/runtime.py",
]

anchors = dict(type="mixnet_dense.SSDLiteAnchorGenerator", first_level=6, clip=True)
model = dict(
    data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3),
    backbone=dict(type="mixnet_dense.MobileNetV3", arch="large", reduced_tail="detection"),
    bbox_head=dict(num_classes=90, anchor_generator=anchors),
)
