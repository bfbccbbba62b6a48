# Own photos with train.json and val.json in COCO's format, as tools/new_config.py writes them. The
# images are resized and augmented as for COCO; training goes over them without end.
_base_ = "./coco.py"
train_dataloader = dict(sampler=dict(type="InfiniteSampler"), dataset=dict(ann_file="train.json"))
train_dataloader["dataset"]["data_prefix"] = dict(img="")
val_dataloader = dict(dataset=dict(ann_file="val.json", data_prefix=dict(img="")))
test_dataloader = val_dataloader
