# Pascal VOC 2012's VOCtrainval_11-May-2012.tar, unpacked into data/. Images and label maps in two
# folders, without a list of names, work too: set data_prefix, and ann_file="".
# As in DeepLab (https://arxiv.org/abs/1706.05587, section 4): training takes scales of 0.5 to 2 and
# crops of 513 x 513. In evaluation the longer side of an image becomes 513 pixels.
data_root = "data/VOCdevkit/VOC2012/"
crop_size = (513, 513)
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations"),
    dict(type="RandomResize", scale=crop_size, ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type="RandomCrop", crop_size=crop_size),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackSegInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=crop_size, keep_ratio=True),
    dict(type="LoadAnnotations"),
    dict(type="PackSegInputs"),
]
folders = dict(img_path="JPEGImages", seg_map_path="SegmentationClass")
train_dataloader = dict(
    batch_size=8,
    num_workers=4,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(
        type="mixnet_dense.PascalVOCDataset",
        data_root=data_root,
        ann_file="ImageSets/Segmentation/train.txt",
        data_prefix=folders,
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="mixnet_dense.PascalVOCDataset",
        data_root=data_root,
        ann_file="ImageSets/Segmentation/val.txt",
        data_prefix=folders,
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="mixnet_dense.IoUMetric", iou_metrics=["mIoU"])
test_evaluator = val_evaluator
default_scope = "mmseg"
visualizer = dict(
    type="SegLocalVisualizer", vis_backends=[dict(type="LocalVisBackend")], name="visualizer"
)
