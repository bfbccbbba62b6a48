"""From the labels of other tools to a config: reading, splitting, writing."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from labelled import CLASSES, FORMATS, PHOTOS, labelme, paint, pairs, voc, yolo
from mmengine.config import Config
from PIL import Image
from running import ROOT, tool

from mixnet_dense.data.formats import read
from mixnet_dense.data.recipe import TASKS, batch_size, fitting_models, split
from mixnet_dense.engine.config import check_files, load_config
from mixnet_dense.engine.train import long_warm_ups
from mixnet_dense.errors import InputError
from mixnet_dense.weights import published


def truth(labels):
    return {
        photo.path.name: (
            tuple(photo.size),
            sorted((row["name"], *map(round, row["bbox"])) for row in photo.objects),
        )
        for photo in labels.photos
    }


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_boxes(tmp_path, name):
    FORMATS[name](tmp_path)
    labels = read(tmp_path)
    assert labels.format == name and tuple(labels.classes) == CLASSES
    assert truth(labels) == {key: (size, sorted(boxes)) for key, (size, boxes) in PHOTOS.items()}
    assert not labels.left_out


def edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_nothing_is_left_out_in_silence(tmp_path):
    labelme(tmp_path)
    paint(tmp_path / "unlabelled.jpg", (30, 30))
    (tmp_path / "b.jpg").unlink()
    edit(tmp_path / "a.json", lambda c: c["shapes"][0].update(shape_type="circle"))
    labels = read(tmp_path)
    assert labels.left_out == {
        "shapes of the kind circle": 1,
        "labelled images that are not there": 1,
        "images without a label file": 1,
    }
    assert [photo.path.name for photo in labels.photos] == ["a.jpg", "c.png"]


def test_difficult_objects_of_voc_become_crowd(tmp_path):
    voc(tmp_path)
    path = tmp_path / "Annotations/b.xml"
    path.write_text(path.read_text().replace("</name>", "</name><difficult>1</difficult>"))
    labels = read(tmp_path)
    crowd = {photo.path.name: [row["iscrowd"] for row in photo.objects] for photo in labels.photos}
    assert crowd == {"a.jpg": [0, 0], "b.jpg": [1], "c.png": [0]}
    assert labels.left_out.total() == 1


def test_yolo_polygons_scores_and_photos_without_objects(tmp_path):
    yolo(tmp_path)
    labels = tmp_path / "labels"
    (labels / "a.txt").write_text("0 .25 .25 .75 .25 .75 .5\n")
    (labels / "b.txt").write_text("1 .5 .5 .2 .4 .87\n")
    (labels / "c.txt").unlink()
    found = truth(read(tmp_path))
    assert read(tmp_path).left_out == {"images without a .txt (taken as without objects)": 1}
    assert found["a.jpg"][1] == [("cat", 30, 20, 60, 20)]
    assert found["b.jpg"][1] == [("dog", 40, 30, 20, 40)]
    assert found["c.png"][1] == []


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("labels/a.txt", "2 .5 .5 .1 .1", "a.txt:1: '2 .5 .5 .1 .1' must be a class from 0 to 1"),
        ("labels/a.txt", "0 .5 .5 .1", "a.txt:1: .* a box's 4 numbers"),
        ("data.yaml", "names: [cat, dog]\ntrain: pictures", "pictures: not there, but the entry"),
        ("data.yaml", "names: [cat", "data.yaml: is not YAML"),
    ],
)
def test_broken_yolo_labels_are_named(tmp_path, file, text, message):
    yolo(tmp_path)
    (tmp_path / file).write_text(text)
    with pytest.raises(InputError, match=message):
        read(tmp_path)


def test_broken_labels_are_named(tmp_path):
    for content, message in (
        ("<annotation><object/></annotation>", "x.xml: is not of Pascal VOC"),
        ("<annotation>", "x.xml: is not XML"),
        ('<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><annotation/>', "XML entities"),
    ):
        (tmp_path / "x.xml").write_text(content)
        with pytest.raises(InputError, match=message):
            read(tmp_path)
    (tmp_path / "x.xml").unlink()
    with pytest.raises(InputError, match="no labels there; known are COCO"):
        read(tmp_path)
    paint(tmp_path / "x.png", (9, 9))
    (tmp_path / "classes.txt").write_text("cat\n")
    with pytest.raises(InputError, match="YOLO labels, but no photo with a box; 1 images without"):
        read(tmp_path)
    (tmp_path / "classes.txt").unlink()
    with pytest.raises(InputError, match="absent: is not a folder"):
        read(tmp_path / "absent")
    (tmp_path / "x.json").write_text('{"shapes": [{}]}')
    with pytest.raises(InputError, match="x.json: is not of labelme"):
        read(tmp_path)
    (tmp_path / "x.json").write_text('{"images": [{}], "annotations": [], "categories": []}')
    with pytest.raises(InputError, match="x.json: is not a COCO annotation file"):
        read(tmp_path)


def test_images_of_equal_names_are_not_mixed_up(tmp_path):
    for part in ("train", "valid"):
        labelme(tmp_path / part)
    edit(tmp_path / "valid/a.json", lambda content: content.update(shapes=[]))
    photos = {photo.path.relative_to(tmp_path).as_posix(): photo for photo in read(tmp_path).photos}
    assert len(photos) == 6 and photos["valid/a.jpg"].objects == []
    assert len(photos["train/a.jpg"].objects) == 2
    assert {photo.split for photo in photos.values()} == {"train", "val"}


def test_the_split_follows_from_content_and_keeps_copies_together(tmp_path):
    for index in range(20):
        paint(tmp_path / f"{index}.png", (16, 16))
    for index in range(5):  # copies under other names
        (tmp_path / f"copy{index}.png").write_bytes((tmp_path / f"{index}.png").read_bytes())
    for path in list(tmp_path.glob("*.png")):
        shape = dict(label="cat", shape_type="rectangle", points=[[1, 1], [9, 9]])
        path.with_suffix(".json").write_text(json.dumps(dict(shapes=[shape])))
    photos = read(tmp_path).photos
    found = {name: {photo.path.name for photo in rows} for name, rows in split(photos).items()}
    assert 5 <= len(found["val"]) <= 6 and len(found["train"]) + len(found["val"]) == 25
    for index in range(5):
        assert (f"{index}.png" in found["val"]) == (f"copy{index}.png" in found["val"])
    again = split(photos[::-1])
    assert {name: {p.path.name for p in rows} for name, rows in again.items()} == found
    with pytest.raises(InputError, match="1 photos: two different ones are needed"):
        split(photos[:1])


def snapshot(folder: Path):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", FORMATS)
def test_a_config_is_written_and_the_photos_stay_as_they_are(tmp_path, capsys, name):
    FORMATS[name](tmp_path / "photos")
    before = snapshot(tmp_path / "photos")
    tool("new_config")(tmp_path / "photos", "--out", tmp_path / "my.py")
    assert snapshot(tmp_path / "photos") == before
    assert f"{name} labels: 2 train, 1 val" in capsys.readouterr().out
    text = (tmp_path / "my.py").read_text()
    assert len(text.splitlines()) <= 15
    config = load_config(str(tmp_path / "my.py"))
    check_files(config)
    assert config.model.bbox_head.num_classes == 2 and config.train_dataloader.batch_size == 2
    for part in ("train", "val"):
        dataset = config[f"{part}_dataloader"].dataset
        content = json.loads((tmp_path / "my_labels" / dataset.ann_file).read_text())
        for image in content["images"]:
            assert (Path(dataset.data_prefix.img) / image["file_name"]).is_file()
        assert [row["name"] for row in content["categories"]] == ["cat", "dog"]
    with pytest.raises(InputError, match="my.py: is there already"):
        tool("new_config")(tmp_path / "photos", "--out", tmp_path / "my.py")


def test_a_config_is_never_written_among_the_photos(tmp_path):
    labelme(tmp_path)
    with pytest.raises(InputError, match="lies in the folder of the photos"):
        tool("new_config")(tmp_path, "--out", tmp_path / "deep/my.py")
    with pytest.raises(InputError, match="--model resnet: for detection must be one of ssdlite_"):
        tool("new_config")(tmp_path, "--model", "resnet", "--out", tmp_path.parent / "my.py")
    assert not (tmp_path.parent / "my.py").exists()


@pytest.mark.parametrize("task", TASKS)
def test_every_model_that_is_offered_gives_a_config_that_loads(tmp_path, task):
    (labelme if task == "detection" else pairs)(tmp_path / "photos")
    names = fitting_models(task)
    assert len(names) > 15
    for name in names:
        out, source = tmp_path / f"{name}.py", ROOT / "configs" / f"{name}.py"
        tuned = source.with_stem(f"{name}_finetune")
        source, more = (tuned, ("--weights", tuned)) if tuned.exists() else (source, ())
        arguments = ("--task", task, "--model", name, "--out", out, *more)
        tool("new_config")(tmp_path / "photos", *arguments)
        config, given = Config.fromfile(out), Config.fromfile(source)
        head = TASKS[task].head
        assert config.model[head].num_classes == 2
        given.model[head].num_classes = 2
        if task == "segmentation" and name != "raspp_mobilenetv2_voc":
            given.model.data_preprocessor.size = (512, 512)
        assert config.model == given.model
        assert len(out.read_text().splitlines()) <= 15


@pytest.mark.parametrize(
    ("task", "weights", "model"),
    [
        ("detection", "ssdlite_mobilenetv2_coco", "ssdlite_mobilenetv2_tf"),
        ("segmentation", "deeplab_mobilenetv2_voc", "raspp_mobilenetv2_voc"),
        ("detection", "FILE", TASKS["detection"].model),
        ("segmentation", "FILE", TASKS["segmentation"].model),
    ],
)
def test_weights_are_fine_tuned(tmp_path, monkeypatch, task, weights, model):
    monkeypatch.setattr(published, "fetch", lambda name: None)
    (labelme if task == "detection" else pairs)(tmp_path / "photos")
    file, out = tmp_path / "w.pth", tmp_path / "my.py"
    file.touch()
    weights, begin = (file, str(file)) if weights == "FILE" else (weights, f"published://{weights}")
    tool("new_config")(tmp_path / "photos", "--task", task, "--weights", weights, "--out", out)
    config = load_config(str(out))
    given = Config.fromfile(ROOT / "configs" / f"{model}.py")
    assert config.model.backbone.type == given.model.backbone.type and config.load_from == begin
    assert config.default_hooks.fixed_norm.type == "mixnet_dense.FixedNormHook"
    assert "Norm" not in str(Config.fromfile(ROOT / "configs/_base_/schedules/own_data.py"))
    best = dict(detection="coco/bbox_mAP", segmentation="mIoU")[task]
    assert config.default_hooks.checkpoint.save_best == best
    batch, steps = config.train_dataloader.batch_size, config.train_cfg.max_iters
    assert config.optim_wrapper.optimizer.lr == pytest.approx(5e-4 * batch / 16, rel=0.05)
    assert steps == 100 and not long_warm_ups(config.param_scheduler, 1, steps)
    text = out.read_text()
    assert "fine-tuned as schedules/finetune" in text and len(text.splitlines()) <= 15


def test_weights_that_are_not_there_are_refused(tmp_path):
    labelme(tmp_path / "photos")
    arguments = (tmp_path / "photos", "--out", tmp_path / "my.py")
    with pytest.raises(InputError, match="'w.pth': neither a file nor one of ssdlite_mobilenetv2_"):
        tool("new_config")(*arguments, "--weights", "w.pth")
    with pytest.raises(InputError, match="v2_tf: is only fine-tuned here; give --weights too"):
        tool("new_config")(*arguments, "--model", "ssdlite_mobilenetv2_tf")


def test_label_maps_with_other_names_and_sizes_are_trained(tmp_path):
    pairs(tmp_path / "photos")
    (tmp_path / "photos/images/extra.jpg").write_bytes(b"")
    out = tmp_path / "my.py"
    arguments = ("--task", "segmentation", "--model", "lraspp_mobilenetv3_small", "--out", out)
    tool("new_config")(tmp_path / "photos", *arguments)
    options = ("train_cfg.max_iters=2", "train_cfg.val_interval=2", "train_dataloader.batch_size=2")
    workers = [
        f"{part}_dataloader.{key}"
        for part in ("train", "val")
        for key in ("num_workers=0", "persistent_workers=False")
    ]
    small = ("model.backbone.width=0.35", "param_scheduler.1.begin=0")
    given = ("--work-dir", tmp_path / "work", "--cfg-options", *options, *workers, *small)
    tool("train")(out, *given)
    assert (tmp_path / "work/iter_2.pth").is_file()
    dataset = load_config(str(out)).train_dataloader.dataset
    # "road" is Cityscapes' class 0 too; here the number in the label map counts
    assert dataset.type == "mixnet_dense.MaskDataset" and dataset.metainfo.classes[1] == "road"


def test_label_maps_that_training_would_ignore_are_refused(tmp_path):
    pairs(tmp_path)
    for path in (tmp_path / "masks").iterdir():
        Image.fromarray(np.uint8(np.asarray(Image.open(path)) > 0) * 255).save(path)
    arguments = ("--task", "segmentation", "--model", "lraspp_mobilenetv3_small")
    with pytest.raises(InputError, match="only the values 0 and 255, and 255 is ignored"):
        tool("new_config")(tmp_path, *arguments, "--out", tmp_path.parent / "seg.py")


def test_batch_fits_memory_and_photos(monkeypatch):
    memory = {"SC_PHYS_PAGES": 2**21, "SC_PAGE_SIZE": 4096}  # 8 GiB, a quarter is taken
    monkeypatch.setattr(os, "sysconf", memory.get)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert [batch_size(1000, each) for each in (50, 100, 200, 600, 5000)] == [16, 16, 8, 2, 1]
    assert [batch_size(count, 100) for count in (1, 3, 9)] == [1, 2, 8]
