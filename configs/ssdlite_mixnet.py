# MixNet-S SSDLite, 320 x 320, COCO from scratch. Not trained here: no accuracy is claimed.
#   python tools/train.py configs/ssdlite_mixnet.py
#   torchrun --nproc_per_node 8 tools/train.py configs/ssdlite_mixnet.py --launcher pytorch
# Recipe and its source: _base_/schedule_600e.py. Network: MixConv figure 8, MobileNetV3
# section 6.3 (C4 is the expansion of the first stride-32 block, C5 the last 1x1 conv).
_base_ = ["_base_/coco_detection.py", "_base_/schedule_600e.py", "_base_/runtime.py"]

model = dict(
    type="SingleStageDetector",
    data_preprocessor=dict(
        type="DetDataPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
    ),
    backbone=dict(
        type="mixnet_dense.MixNet",
        arch="s",
        out_taps=("c4_expansion", "last"),
        norm_cfg=dict(type="BN", eps=0.001, momentum=0.03),
    ),
    neck=dict(
        type="mixnet_dense.SSDLiteNeck",
        in_channels=(720, 1536),
        extra_channels=(512, 256, 256, 128),
        norm_cfg=dict(type="BN", eps=0.001, momentum=0.03),
    ),
    bbox_head=dict(
        type="mixnet_dense.SSDLiteHead",
        num_classes=80,
        in_channels=(720, 1536, 512, 256, 256, 128),
        norm_cfg=dict(type="BN", eps=0.001, momentum=0.03),
    ),
    train_cfg=dict(iou_threshold=0.5, crowd_iof=0.5, neg_pos_ratio=3, min_negatives=3),
    test_cfg=dict(
        nms_pre=1000, score_thr=0.01, nms=dict(type="nms", iou_threshold=0.6), max_per_img=100
    ),
)
default_hooks = dict(checkpoint=dict(save_best="coco/bbox_mAP"))
