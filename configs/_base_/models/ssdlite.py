# SSDLite (https://arxiv.org/abs/1801.04381, section 6.2) on C4, the expansion of the first
# stride-32 block, and C5, the last 1x1 convolution (https://arxiv.org/abs/1905.02244, section
# 6.3). A config names its backbone; the channels of neck and head are read from it.
norm_cfg = dict(type="BN", eps=0.001, momentum=0.03)
model = dict(
    type="mixnet_dense.SSDLite",
    data_preprocessor=dict(
        type="DetDataPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
    ),
    backbone=dict(out_taps=("c4_expansion", "last"), norm_cfg=norm_cfg),
    neck=dict(type="mixnet_dense.SSDLiteNeck", norm_cfg=norm_cfg),
    bbox_head=dict(type="mixnet_dense.SSDLiteHead", num_classes=80, norm_cfg=norm_cfg),
    train_cfg=dict(iou_threshold=0.5, crowd_iof=0.5, neg_pos_ratio=3, min_negatives=3),
    test_cfg=dict(
        nms_pre=1000, score_thr=0.01, nms=dict(type="nms", iou_threshold=0.6), max_per_img=100
    ),
)
