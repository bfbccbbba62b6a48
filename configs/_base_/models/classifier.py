# A network of the papers with label smoothing (0.1, as MnasNet's released code). Its table has the
# dropout. https://arxiv.org/abs/1807.11626, section 5: batch norm's averages decay by 0.99.
model = dict(
    type="mixnet_dense.cls.MobileClassifier",
    num_classes=1000,
    norm_cfg=dict(type="BN", eps=0.001, momentum=0.01),
    loss=dict(type="LabelSmoothLoss", label_smooth_val=0.1, mode="original"),
    data_preprocessor=dict(
        mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True
    ),
)
