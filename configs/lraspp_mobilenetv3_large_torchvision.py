# torchvision's lraspp_mobilenet_v3_large with 19 classes, Cityscapes from scratch.
# Not trained here.
# Full last stage, low map of 40 channels from a block's output, one pooled value an image,
# a sigmoid gate without bias.
#   python tools/train.py configs/lraspp_mobilenetv3_large_torchvision.py
_base_ = "./lraspp_mobilenetv3_large.py"

model = dict(
    backbone=dict(
        out_taps=("block3", "last"),
        reduced_tail=None,
        dilate_strided=True,
        norm_cfg=dict(momentum=0.1),
    ),
    decode_head=dict(
        in_channels=(40, 960),
        pool=None,
        gate="Sigmoid",
        gate_bias=False,
        norm_cfg=dict(eps=1e-5, momentum=0.1),
    ),
)
