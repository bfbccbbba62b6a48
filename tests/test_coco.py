import json

import numpy as np
import pytest
import torch

from mixnet_dense.det import CocoDataset, CocoMetric
from mixnet_dense.errors import InputError

# Two images; the file lists dog before cat and has no bird.
CATEGORIES = [dict(id=7, name="dog"), dict(id=3, name="cat")]
BOXES = [(1, 7, [2, 3, 20, 10]), (1, 3, [40, 5, 12, 30]), (2, 3, [0, 0, 32, 32])]


def write(folder, **changes):
    images = [dict(id=i, file_name=f"{i}.jpg", height=64, width=64) for i in (1, 2)]
    annotations = [
        dict(id=n, image_id=i, category_id=c, bbox=box, area=box[2] * box[3], iscrowd=0)
        for n, (i, c, box) in enumerate(BOXES, 1)
    ]
    content = dict(images=images, annotations=annotations, categories=CATEGORIES)
    content.update(changes)
    (folder / "images").mkdir(exist_ok=True)
    for i in (1, 2):
        (folder / "images" / f"{i}.jpg").write_bytes(b"")
    (folder / "file.json").write_text(json.dumps(content))
    return folder / "file.json"


def dataset(folder, classes):
    return CocoDataset(
        data_root=str(folder),
        ann_file="file.json",
        data_prefix=dict(img="images"),
        metainfo=dict(classes=classes),
    )


@pytest.mark.parametrize("classes", [("cat", "dog"), ("dog", "cat"), ("bird", "cat", "dog")])
def test_labels_are_class_indices_whatever_the_file_says(tmp_path, classes):
    write(tmp_path)
    rows = dataset(tmp_path, classes)
    found = [[classes[item["bbox_label"]] for item in rows[i]["instances"]] for i in (0, 1)]
    assert found == [["dog", "cat"], ["cat"]]
    assert rows.metainfo["classes"] == classes


def test_classes_left_out_of_the_config_have_no_boxes(tmp_path):
    write(tmp_path)
    rows = dataset(tmp_path, ("cat",))
    assert [len(rows[i]["instances"]) for i in (0, 1)] == [1, 1]


@pytest.mark.parametrize("classes", [("cat", "dog"), ("dog", "cat"), ("bird", "cat", "dog")])
def test_perfect_detections_score_one(tmp_path, classes):
    metric = CocoMetric(ann_file=str(write(tmp_path)), classwise=True)
    metric.dataset_meta = dict(classes=classes)
    names = {7: "dog", 3: "cat"}
    for image in (1, 2):
        mine = [(c, box) for i, c, box in BOXES if i == image]
        boxes = torch.tensor([[x, y, x + w, y + h] for _, (x, y, w, h) in mine]).float()
        labels = torch.tensor([classes.index(names[c]) for c, _ in mine])
        if "bird" in classes:  # a detection of a class that the file lacks
            boxes, labels = torch.cat([boxes, boxes[:1]]), torch.cat([labels, labels.new_zeros(1)])
        found = dict(bboxes=boxes, scores=torch.full((len(boxes),), 0.9), labels=labels)
        sample = dict(img_id=image, ori_shape=(64, 64), pred_instances=found)
        metric.process({}, [sample])
    scores = metric.evaluate(2)
    assert scores["coco/bbox_mAP"] == 1
    assert scores["coco/dog_precision"] == scores["coco/cat_precision"] == 1
    assert np.isclose(list(scores.values()), 1).sum() >= 5


def test_unfit_files_are_named(tmp_path):
    (tmp_path / "file.json").write_text("{")
    with pytest.raises(InputError, match="file.json: is not JSON"):
        dataset(tmp_path, ("cat",))
    write(tmp_path)
    with pytest.raises(InputError, match="categories dog, cat, none of which .* classes fish"):
        dataset(tmp_path, ("fish",))
    write(tmp_path, categories=CATEGORIES[:1])
    with pytest.raises(InputError, match="2 annotations have the category_id 3, allowed are 7"):
        dataset(tmp_path, ("dog",))
    (tmp_path / "file.json").write_text('{"images": []}')
    with pytest.raises(InputError, match="is not a COCO annotation file"):
        dataset(tmp_path, ("cat",))


def test_images_that_are_not_there_are_counted(tmp_path):
    write(tmp_path)
    (tmp_path / "images" / "2.jpg").unlink()
    with pytest.raises(InputError, match="1 of 2 images are not there, first .*2.jpg"):
        dataset(tmp_path, ("cat",))
