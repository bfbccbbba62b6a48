# DeepLabV3+ on MobileNetV3-Large at output stride 16: the embedded sample.
#   mixnet-dense train reuse/deeplabv3plus_mobilenetv3
_base_ = "../lraspp_mobilenetv3_small_sample.py"
norm_cfg = dict(type="BN")
model = dict(
    type="EncoderDecoder",
    backbone=dict(
        _delete_=True,
        type="mixnet_dense.MobileNetV3",
        arch="large",
        out_taps=("c2", "c3", "c4", "c5"),
        output_stride=16,
    ),
    decode_head=dict(
        _delete_=True,
        type="DepthwiseSeparableASPPHead",
        in_channels=160,
        in_index=3,
        channels=128,
        dilations=(1, 6, 12, 18),
        c1_in_channels=24,
        c1_channels=48,
        num_classes=5,
        norm_cfg=norm_cfg,
        loss_decode=dict(type="CrossEntropyLoss", avg_non_ignore=True),
    ),
)
