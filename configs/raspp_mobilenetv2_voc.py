# MobileNetV2, R-ASPP 256, output stride 16, 21 classes, as TensorFlow's DeepLab: Pascal VOC.
# It loads the converted weights of deeplabv3_mnv2_pascal_quant.tflite: see docs/weights.md.
# Not trained here.
#   python tools/train.py configs/raspp_mobilenetv2_voc.py
#   python tools/convert_weights.py deeplabv3_mnv2_pascal_quant.tflite weights.pth \
#     --source tensorflow --model deeplab_mobilenetv2_voc
#   python tools/test.py configs/raspp_mobilenetv2_voc.py weights.pth
_base_ = [
    "_base_/models/raspp.py",
    "_base_/datasets/voc.py",
    "_base_/schedules/voc_30k.py",
    "_base_/runtime.py",
]

model = dict(
    data_preprocessor=dict(
        mean=[128.0] * 3,
        std=[128.0] * 3,
        pad_val=-0.5 / 128,  # 127.5 before normalisation
        size=(513, 513),
        test_cfg=dict(size=(513, 513)),  # right of and below the image; cut off from the result
    ),
    backbone=dict(
        type="mixnet_dense.MobileNetV2",
        arch="classification",
        out_taps=("c5",),
        padding="same",
    ),
    decode_head=dict(num_classes=21, align_corners=True),
)
log_processor = dict(by_epoch=False)
