import json
import logging
import re
import sys
import types
from contextlib import contextmanager, nullcontext

import numpy as np
import pytest
import torch
from mmdet.evaluation.metrics import coco_metric
from mmengine.fileio import BaseStorageBackend, register_backend
from pycocotools.coco import COCO

from mixnet_dense.compat import fast_coco_evaluation
from mixnet_dense.det import CocoDataset, CocoMetric
from mixnet_dense.errors import InputError

# Two images; the file lists dog before cat and has no bird.
CATEGORIES = [dict(id=7, name="dog"), dict(id=3, name="cat")]
BOXES = [(1, 7, [2, 3, 20, 10]), (1, 3, [40, 5, 12, 30]), (2, 3, [0, 0, 32, 32])]


@pytest.fixture
def logged(monkeypatch):
    """What a dataset logs, as rows of message and further arguments."""
    rows = []
    monkeypatch.setattr("mixnet_dense.det.coco.print_log", lambda *row: rows.append(row))
    return rows


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


def dataset(folder, classes, **options):
    return CocoDataset(
        data_root=str(folder),
        ann_file="file.json",
        metainfo=dict(classes=classes),
        **(dict(data_prefix=dict(img="images")) | options),
    )


@pytest.mark.parametrize("classes", [("cat", "dog"), ("dog", "cat"), ("bird", "cat", "dog")])
def test_labels_are_class_indices_whatever_the_file_says(tmp_path, classes):
    write(tmp_path)
    rows = dataset(tmp_path, classes, test_mode="bird" in classes)
    found = [[classes[item["bbox_label"]] for item in rows[i]["instances"]] for i in (0, 1)]
    assert found == [["dog", "cat"], ["cat"]]
    assert rows.metainfo["classes"] == classes


def test_classes_left_out_of_the_config_have_no_boxes_and_are_counted(tmp_path, logged):
    write(tmp_path)
    rows = dataset(tmp_path, ("cat",))
    assert [len(rows[i]["instances"]) for i in (0, 1)] == [1, 1]
    ((line, _),) = logged
    assert "1 of 3 annotations are of categories that are no class of the config: dog" in line
    assert len(dataset(tmp_path, ("cat", "dog"))) == 2 and len(logged) == 1


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (("cat", "dgo"), "'dgo', .*; the nearest is 'dog'; if no image shows it"),
        (("CAT", "dog"), "'CAT', .*; the nearest is 'cat'"),
        (("cat", "dog", "fish"), "'fish', which is a class of the config, only dog, cat; if no"),
        (("dog", "ct", "fish"), "'ct', .*; the nearest is 'cat'; 1 more classes are not there"),
    ],
)
def test_a_class_that_training_lacks_is_an_error_and_elsewhere_a_warning(
    tmp_path, logged, classes, message
):
    path = write(tmp_path)
    with pytest.raises(InputError, match=f"^{path}: has no category {message}"):
        dataset(tmp_path, classes)
    logged.clear()
    assert len(dataset(tmp_path, classes, test_mode=True)) == 2
    line, _, level = logged[0]
    assert level == logging.WARNING
    assert re.search(f"has no category {message.partition('; if no')[0]}", line)


def test_a_class_that_only_holds_a_place_need_not_be_there(tmp_path, logged):
    write(tmp_path)
    rows = dataset(tmp_path, ("cat", "(none 2)", "dog"))
    assert [item["bbox_label"] for item in rows[0]["instances"]] == [2, 0]
    assert not logged


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


def without_annotations(folder):
    """A file as COCO has for its test-dev images."""
    content = json.loads(write(folder).read_text())
    del content["annotations"]
    (folder / "file.json").write_text(json.dumps(content))
    return folder / "file.json"


def test_a_test_set_without_annotations_gives_a_results_file(tmp_path):
    path = without_annotations(tmp_path)
    rows = dataset(tmp_path, ("cat", "dog"), test_mode=True)
    assert [(row["img_id"], row["instances"]) for row in rows] == [(1, []), (2, [])]
    prefix = str(tmp_path / "out")
    metric = CocoMetric(ann_file=str(path), format_only=True, outfile_prefix=prefix)
    metric.dataset_meta = rows.metainfo
    boxes, labels = torch.tensor([[2.0, 3, 22, 13]]), torch.tensor([1])
    found = dict(bboxes=boxes, scores=torch.tensor([0.5]), labels=labels)
    metric.process({}, [dict(img_id=2, ori_shape=(64, 64), pred_instances=found)])
    metric.evaluate(1)
    (written,) = json.loads((tmp_path / "out.bbox.json").read_text())
    assert written == dict(image_id=2, category_id=7, bbox=[2, 3, 20, 10], score=0.5)


def test_training_and_scoring_need_annotations(tmp_path):
    path = without_annotations(tmp_path)
    with pytest.raises(InputError, match="is not a COCO annotation file"):
        dataset(tmp_path, ("cat",))
    with pytest.raises(InputError, match="file.json: has no annotations to score against; only"):
        CocoMetric(ann_file=str(path))


class Elsewhere(BaseStorageBackend):
    """A storage that is not the disk of this machine."""

    def get(self, path):
        raise NotImplementedError

    get_text = get

    @contextmanager
    def get_local_path(self, path):
        yield path


def test_images_of_another_storage_are_not_looked_for_on_the_disk(tmp_path):
    register_backend("elsewhere", Elsewhere, force=True)
    write(tmp_path)
    (tmp_path / "images" / "2.jpg").unlink()
    with pytest.raises(InputError, match="1 of 2 images are not there"):
        dataset(tmp_path, ("cat",), backend_args=dict(backend="local"))
    assert len(dataset(tmp_path, ("cat",), backend_args=dict(backend="elsewhere"))) == 2
    prefix = dict(data_prefix=dict(img="http://bucket/images"))
    assert len(dataset(tmp_path, ("cat",), **prefix)) == 2


def crowded_scene():
    """Annotations of 12 images in 5 classes, with crowds and an empty image, and detections."""
    random = np.random.default_rng(0)
    images = [dict(id=i, file_name=f"{i}.jpg", height=480, width=640) for i in range(12)]
    annotations, found = [], []
    for image in range(11):
        for _ in range(8):
            box = [*random.uniform(0, 300, 2), *np.exp(random.uniform(2, 5.5, 2))]
            category, number = int(random.integers(1, 5)), len(annotations) + 1
            row = dict(id=number, image_id=image, category_id=category, bbox=box)
            annotations.append(row | dict(area=box[2] * box[3], iscrowd=int(number % 9 == 0)))
            for _ in range(4):
                moved = [value + random.normal(0, 0.1) * box[2] for value in box]
                score = round(float(random.random()), 1)  # many equal scores
                found.append(dict(image_id=image, category_id=category, bbox=moved, score=score))
    categories = [dict(id=i, name=str(i)) for i in range(1, 6)]
    return dict(images=images, annotations=annotations, categories=categories), found


@pytest.mark.parametrize("use_cats", [1, 0])
def test_the_fast_evaluation_has_the_numbers_of_pycocotools(use_cats):
    pytest.importorskip("faster_coco_eval")
    annotated = COCO()
    annotated.dataset, found = crowded_scene()
    annotated.createIndex()
    scores = []
    for context in (fast_coco_evaluation(coco_metric), nullcontext()):
        with context:
            scorer = coco_metric.COCOeval(annotated, annotated.loadRes(found), "bbox")
        scorer.params.maxDets, scorer.params.useCats = [100, 300, 1000], use_cats
        scorer.evaluate()
        scorer.accumulate()
        scorer.summarize()
        scores.append((type(scorer), scorer.eval, np.array(scorer.stats[:12])))
    (fast, mine, first), (slow, theirs, second) = scores
    assert fast is not slow and 0.05 < first[0] < 0.9
    for ours, expected in (
        (first, second),
        *((mine[k], theirs[k]) for k in ("precision", "recall")),
    ):
        np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-9)


def test_evaluation_uses_the_fast_one_where_it_is_installed_and_puts_pycocotools_back(monkeypatch):
    before, fast = coco_metric.COCOeval, object()
    module = types.SimpleNamespace(COCOeval_faster=fast)
    monkeypatch.setitem(sys.modules, "faster_coco_eval", module)
    monkeypatch.setattr("mixnet_dense.compat.find_spec", lambda name: name)
    with fast_coco_evaluation(coco_metric):
        assert coco_metric.COCOeval is fast
    assert coco_metric.COCOeval is before
    monkeypatch.setattr("mixnet_dense.compat.find_spec", lambda _name: None)
    with fast_coco_evaluation(coco_metric):
        assert coco_metric.COCOeval is before
