# Own photos with a label map each, listed in train.txt and val.txt, as tools/new_config.py writes
# them. Photos may have any size: they are scaled by 0.5 to 2 and cropped to 512 x 512; evaluation
# takes whole images.
_base_ = "./cityscapes.py"
crop_size = (512, 512)
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations"),
    dict(
        type="RandomChoice",
        transforms=[
            [dict(type="Resize", scale_factor=factor, keep_ratio=True)]
            for factor in (0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0)
        ],
    ),
    dict(type="RandomCrop", crop_size=crop_size, cat_max_ratio=0.75),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PhotoMetricDistortion"),
    dict(type="PackSegInputs"),
]
train_dataloader = dict(
    drop_last=False,
    sampler=dict(type="InfiniteSampler"),
    dataset=dict(type="mixnet_dense.MaskDataset", pipeline=train_pipeline),
)
val_dataloader = dict(dataset=dict(type="mixnet_dense.MaskDataset"))
test_dataloader = val_dataloader
slide_test_cfg = dict(mode="slide", crop_size=crop_size, stride=(341, 341))
