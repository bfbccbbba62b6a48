_base_ = "./ssdlite_mixnet.py"  # on the embedded sample, for two CPU cores: make demo
train_pipeline, test_pipeline = _base_.train_pipeline, _base_.test_pipeline
del train_pipeline[2]  # the scenes are varied already: no crop
train_pipeline[2]["scale"] = test_pipeline[1]["scale"] = (192, 192)
model = dict(bbox_head=dict(num_classes=4))
data = dict(data_root="data/sample/", metainfo=dict(classes=("coin", "zero", "three", "four")))
train_dataloader = dict(batch_size=8, num_workers=1, dataset=dict(pipeline=train_pipeline, **data))
val_dataloader = dict(batch_size=25, num_workers=1, dataset=dict(pipeline=test_pipeline, **data))
test_dataloader, ann_file = val_dataloader, "data/sample/annotations/instances_val2017.json"
val_evaluator = test_evaluator = dict(ann_file=ann_file, classwise=True)
train_cfg, auto_scale_lr = dict(max_epochs=3, val_interval=3), dict(enable=False)
adamw = dict(_delete_=True, type="AdamW", lr=2e-3, weight_decay=0.05, fused=True)
optim_wrapper = dict(optimizer=adamw, clip_grad=dict(max_norm=2))
cosine = dict(type="CosineAnnealingLR", T_max=1050, by_epoch=False)
param_scheduler = [dict(type="LinearLR", start_factor=0.01, by_epoch=False, end=200), cosine]
