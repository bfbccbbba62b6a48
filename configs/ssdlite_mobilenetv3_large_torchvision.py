# torchvision's ssdlite320_mobilenet_v3_large: COCO at 320 x 320.
# A slot for each of COCO's ids 1 to 90, 6 anchors on every map, clipped to the image, inputs in
# [-1, 1]. Takes torchvision's weights through mixnet_dense.weights.convert.
#   python tools/train.py configs/ssdlite_mobilenetv3_large_torchvision.py
_base_ = [
    "_base_/models/ssdlite.py",
    "_base_/datasets/coco.py",
    "_base_/schedules/coco_600e.py",
    "_base_/runtime.py",
]

# fmt: off
classes = (  # by COCO id; ten ids name nothing
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat",
    "traffic light", "fire hydrant", "(none 12)", "stop sign", "parking meter", "bench", "bird",
    "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe", "(none 26)",
    "backpack", "umbrella", "(none 29)", "(none 30)", "handbag", "tie", "suitcase", "frisbee",
    "skis", "snowboard", "sports ball", "kite", "baseball bat", "baseball glove", "skateboard",
    "surfboard", "tennis racket", "bottle", "(none 45)", "wine glass", "cup", "fork", "knife",
    "spoon", "bowl", "banana", "apple", "sandwich", "orange", "broccoli", "carrot", "hot dog",
    "pizza", "donut", "cake", "chair", "couch", "potted plant", "bed", "(none 66)",
    "dining table", "(none 68)", "(none 69)", "toilet", "(none 71)", "tv", "laptop", "mouse",
    "remote", "keyboard", "cell phone", "microwave", "oven", "toaster", "sink", "refrigerator",
    "(none 83)", "book", "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush",
)
# fmt: on
anchors = dict(type="mixnet_dense.SSDLiteAnchorGenerator", first_level=6, clip=True)
model = dict(
    data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3),
    backbone=dict(type="mixnet_dense.MobileNetV3", arch="large", reduced_tail="detection"),
    bbox_head=dict(num_classes=90, anchor_generator=anchors),
)
train_dataloader = dict(dataset=dict(metainfo=dict(classes=classes)))
val_dataloader = dict(dataset=dict(metainfo=dict(classes=classes)))
test_dataloader = val_dataloader
