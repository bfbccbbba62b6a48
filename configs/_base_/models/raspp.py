# R-ASPP of MobileNetV2 (https://arxiv.org/abs/1801.04381, section 6.3) as in MobileNetV3's table
# 7: one map, the backbone's end. A config names its backbone; the head's channels are read from
# it. The pooled branch has one value for each image: with few images on each GPU, normalise it
# over all GPUs, --cfg-options sync_bn=torch.
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
    backbone=dict(out_taps=("last",), output_stride=16, norm_cfg=norm_cfg),
    decode_head=dict(
        type="mixnet_dense.RASPPHead",
        channels=256,
        num_classes=19,
        norm_cfg=norm_cfg,
        loss_decode=dict(type="CrossEntropyLoss", avg_non_ignore=True),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode="whole"),
)
