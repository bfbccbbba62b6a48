# Own photos with train.json and val.json in COCO's format, as tools/new_config.py writes them. The
# images are resized and augmented as for COCO; training goes over them without end.
_base_ = "./coco.py"
train_dataloader = dict(
    sampler=dict(type="InfiniteSampler"), dataset=dict(data_prefix=dict(img=""))
)
val_dataloader = dict(dataset=dict(data_prefix=dict(img="")))
test_dataloader = val_dataloader
val_evaluator = dict(classwise=True)
test_evaluator = val_evaluator
