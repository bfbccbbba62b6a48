# SSDLite on mmdet's ResNet-18: the embedded sample.
# A backbone of another library has no taps to read: the neck is told its channels.
#   mixnet-dense train reuse/ssdlite_resnet
_base_ = "../ssdlite_mixnet_sample.py"
model = dict(
    backbone=dict(_delete_=True, type="ResNet", depth=18, out_indices=(2, 3)),
    neck=dict(in_channels=(256, 512)),
)
