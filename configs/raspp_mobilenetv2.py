# MobileNetV2 R-ASPP, output stride 16, Cityscapes from scratch. Not trained here.
# The paper's own: MobileNetV3 table 7, row 1: 72.84 mIoU on val.
#   python tools/train.py configs/raspp_mobilenetv2.py
# The head's pooled branch has one value an image: with few images a GPU, add --cfg-options
# sync_bn=torch to normalise it over all GPUs.
_base_ = ["_base_/cityscapes.py", "_base_/schedule_860e.py", "_base_/runtime.py"]

model = dict(
    type="EncoderDecoder",
    data_preprocessor=dict(
        type="SegDataPreProcessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size=_base_.crop_size,
    ),
    backbone=dict(
        type="mixnet_dense.MobileNetV2",
        out_taps=("c5",),
        output_stride=16,
        norm_cfg=dict(type="BN", eps=0.001, momentum=0.03),
    ),
    decode_head=dict(
        type="mixnet_dense.RASPPHead",
        in_channels=320,
        in_index=0,
        channels=256,
        num_classes=19,
        norm_cfg=dict(type="BN", eps=0.001, momentum=0.03),
        loss_decode=dict(type="CrossEntropyLoss", avg_non_ignore=True),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode="whole"),
)
default_hooks = dict(checkpoint=dict(save_best="mIoU"))
