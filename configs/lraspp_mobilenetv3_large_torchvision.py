# torchvision's lraspp_mobilenet_v3_large with 19 classes, output stride 16: Cityscapes.
# Full last stage, a low map of 40 channels from the output of a block, the high map pooled as a
# whole, a sigmoid gate without bias.
#   python tools/train.py configs/lraspp_mobilenetv3_large_torchvision.py
_base_ = [
    "_base_/models/lraspp.py",
    "_base_/datasets/cityscapes.py",
    "_base_/schedules/cityscapes_860e.py",
    "_base_/runtime.py",
]

model = dict(
    backbone=dict(
        type="mixnet_dense.MobileNetV3",
        arch="large",
        out_taps=("block3", "last"),
        reduced_tail=None,
        dilate_strided=True,
        norm_cfg=dict(momentum=0.1),
    ),
    decode_head=dict(
        pool=None, gate="Sigmoid", gate_bias=False, norm_cfg=dict(eps=1e-5, momentum=0.1)
    ),
)
