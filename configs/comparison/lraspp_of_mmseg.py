# mmseg's LR-ASPP, the model of its mobilenet-v3-d8-scratch-s_lraspp: as lraspp.py beside it.
# Its batch norm is the plain one, to which its synchronised one is equal on a single process.
_base_ = "./lraspp.py"
norm_cfg = dict(type="BN", eps=0.001)
model = dict(
    type="mmseg.EncoderDecoder",
    backbone=dict(
        _delete_=True,
        type="mmseg.MobileNetV3",
        arch="small",
        out_indices=(0, 1, 12),
        norm_cfg=norm_cfg,
    ),
    decode_head=dict(
        _delete_=True,
        type="mmseg.LRASPPHead",
        in_channels=(16, 16, 576),
        in_index=(0, 1, 2),
        channels=128,
        input_transform="multiple_select",
        dropout_ratio=0.1,
        num_classes=5,
        norm_cfg=norm_cfg,
    ),
)
