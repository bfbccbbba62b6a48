# MixNet-S SSDLite on the embedded sample, for two CPU cores: `make demo`.
_base_ = "./ssdlite_mixnet.py"
sample = dict(data_root="data/sample/", metainfo=dict(classes=("coin", "zero", "three", "four")))
train_pipeline, test_pipeline = _base_.train_pipeline, _base_.test_pipeline
train_pipeline[2:4] = []  # the scenes are varied already: no Expand, no crop
train_pipeline[2]["scale"] = test_pipeline[1]["scale"] = (160, 160)
model = dict(bbox_head=dict(num_classes=4))
train_dataloader = dict(batch_size=16, num_workers=1, dataset=dict(pipeline=train_pipeline, **sample))
val_dataloader = dict(batch_size=25, num_workers=1, dataset=dict(pipeline=test_pipeline, **sample))
test_dataloader, ann_file = val_dataloader, "data/sample/annotations/instances_val2017.json"
val_evaluator = test_evaluator = dict(ann_file=ann_file, classwise=True)
train_cfg, auto_scale_lr = dict(max_epochs=6, val_interval=3), dict(enable=False)
optim_wrapper = dict(optimizer=dict(_delete_=True, type="AdamW", lr=2e-3, weight_decay=0.05))
param_scheduler = [dict(type="OneCycleLR", eta_max=2e-3, total_steps=900, by_epoch=False)]
