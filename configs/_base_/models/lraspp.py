# LR-ASPP (https://arxiv.org/abs/1905.02244, section 6.4, figure 10): low map at stride 8, high
# map at the backbone's end, whose last stage is halved. A config names its backbone; channels
# and pooling windows of the head are read from it.
norm_cfg = dict(type="BN", eps=0.001, momentum=0.03)
model = dict(
    type="mixnet_dense.MobileSegmentor",
    data_preprocessor=dict(
        type="SegDataPreProcessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size=(769, 769),  # as the training crops
    ),
    backbone=dict(
        out_taps=("c3_depthwise", "last"),
        output_stride=16,
        reduced_tail="segmentation",
        norm_cfg=norm_cfg,
    ),
    decode_head=dict(
        type="mixnet_dense.LRASPPHead",
        channels=128,
        num_classes=19,
        norm_cfg=norm_cfg,
        loss_decode=dict(type="CrossEntropyLoss", avg_non_ignore=True),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode="whole"),
)
