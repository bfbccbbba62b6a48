# torchvision's ssdlite320_mobilenet_v3_large: 91 slots, 6 anchors on every map, clipped to
# the image, inputs in [-1, 1]. Takes its weights through mixnet_dense.weights.convert.
#   python tools/train.py configs/ssdlite_mobilenetv3_large_torchvision.py
_base_ = "./ssdlite_mixnet.py"

anchors = dict(type="mixnet_dense.SSDLiteAnchorGenerator", first_level=6, clip=True)
model = dict(
    data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3),
    backbone=dict(type="mixnet_dense.MobileNetV3", arch="large", reduced_tail="detection"),
    neck=dict(in_channels=(672, 480)),
    bbox_head=dict(
        num_classes=90, in_channels=(672, 480, 512, 256, 256, 128), anchor_generator=anchors
    ),
)
