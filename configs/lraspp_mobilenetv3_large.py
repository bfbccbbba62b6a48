# MobileNetV3-Large LR-ASPP, output stride 16, Cityscapes from scratch. Not trained here.
# The paper's own: MobileNetV3 table 7, row 8: 72.36 mIoU on val.
#   python tools/prepare_data.py cityscapes
#   python tools/train.py configs/lraspp_mobilenetv3_large.py
#   on two GPUs: torchrun --nproc_per_node 2 tools/train.py CONFIG --launcher pytorch
#   python tools/test.py configs/lraspp_mobilenetv3_large.py work_dirs/lraspp_mobilenetv3_large
# From an ImageNet checkpoint, as far as its layers fit (the last stage here is halved):
#   --cfg-options model.backbone.init_cfg="{'type':'Pretrained','checkpoint':'FILE'}"
# Recipe and its sources: _base_/schedule_860e.py, _base_/cityscapes.py.
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
        type="mixnet_dense.MobileNetV3",
        arch="large",
        out_taps=("c3_depthwise", "last"),
        output_stride=16,
        reduced_tail="segmentation",
        norm_cfg=dict(type="BN", eps=0.001, momentum=0.03),
    ),
    decode_head=dict(
        type="mixnet_dense.LRASPPHead",
        in_channels=(120, 480),
        channels=128,
        pool=49,
        pool_stride=(16, 20),
        num_classes=19,
        norm_cfg=dict(type="BN", eps=0.001, momentum=0.03),
        loss_decode=dict(type="CrossEntropyLoss", avg_non_ignore=True),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode="whole"),
)
default_hooks = dict(checkpoint=dict(save_best="mIoU"))
