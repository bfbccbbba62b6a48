"""Imports the package first: it makes the hosts importable without compiled mmcv."""

import io
import json
import shutil

import pytest
import torch
from mmengine.registry import DefaultScope
from running import TINY_DETECTOR, TINY_SEGMENTER, configs_as_they_are, tool

import mixnet_dense  # noqa: F401


@pytest.fixture(autouse=True)
def _no_default_scope():
    """A scope that an earlier test set as default would resolve names in mmdet first."""
    DefaultScope._instance_dict.clear()


@pytest.fixture(autouse=True)
def _same_threads():
    """torch's threads are of the process: one test's choice would be the next one's."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session", autouse=True)
def _configs_as_they_are():
    with configs_as_they_are():
        yield


@pytest.fixture(scope="session")
def sample(tmp_path_factory):
    """The folder of an embedded sample of 8 + 4 images, one per process.

    Its train images 5 and 7 are one without objects and one with a heap. Tests must not
    write into it: copy it with ``shutil.copytree`` first.
    """
    from mixnet_dense.sample.build import build_sample

    folder = tmp_path_factory.mktemp("session") / "sample"
    build_sample(folder, train=8, val=4)
    return folder


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """A folder of untrained checkpoints and images; see `exporting.write_files`."""
    from exporting import write_files

    return write_files(tmp_path_factory.mktemp("export"))


@pytest.fixture(scope="session")
def prepared(sample, tmp_path_factory):
    """The sample with its label maps prepared for training; read only, too."""
    from mixnet_dense.seg.prepare import prepare

    folder = tmp_path_factory.mktemp("prepared") / "sample"
    shutil.copytree(sample, folder)
    prepare(folder, io.StringIO())
    return folder


@pytest.fixture(scope="session")
def detector(sample, tmp_path_factory):
    """A folder with ``detector.py``, a detector's config for the sample, and ``work``: two epochs.

    ``odd.json`` annotates three images, with ids unlike their names. Some boxes are what the
    detector finds, so that its mAP is neither 0 nor 1.
    """
    folder = tmp_path_factory.mktemp("detector")
    (folder / "detector.py").write_text(TINY_DETECTOR.replace("SAMPLE", str(sample)))
    tool("train")(folder / "detector.py", "--work-dir", folder / "work")
    (folder / "odd.json").write_text(json.dumps(_odd_annotations(folder, sample)))
    return folder


@pytest.fixture(scope="session")
def report(detector, tmp_path_factory):
    """A folder with ``metrics.json`` and the ``report/`` of the detector on ``odd.json``."""
    folder = tmp_path_factory.mktemp("report")
    arguments = (detector / "detector.py", detector / "work", "--work-dir", folder / "log")
    out = ("--out", folder / "metrics.json", "--report", folder / "report")
    options = ("--cfg-options", f"test_dataloader.dataset.ann_file={detector / 'odd.json'}")
    tool("test")(*arguments, *out, *options)
    return folder


def _odd_annotations(folder, sample):
    images = json.loads((sample / "annotations/instances_val2017.json").read_text())["images"]
    images = [dict(images[index], id=image_id) for index, image_id in ((1, 7), (0, 3), (3, 12))]
    paths = [sample / "val2017" / image["file_name"] for image in images]
    tool("predict")(folder / "detector.py", folder / "work", *paths, "--out", folder / "found")
    rows = json.loads((folder / "found/predictions.json").read_text())
    categories, boxes = {"four": 7, "coin": 3, "three": 90, "zero": 41}, []
    for image, path in zip(images, paths, strict=True):
        found = [row for row in rows if row["file_name"] == str(path)]
        for row in (found[0], found[5], dict(found[0], bbox=[1, 1, 40, 40])):
            area = row["bbox"][2] * row["bbox"][3]
            box = dict(category_id=categories[row["category"]], bbox=row["bbox"], area=area)
            boxes.append(dict(box, id=len(boxes) + 1, image_id=image["id"], iscrowd=0))
    categories = [dict(id=number, name=name) for name, number in categories.items()]
    return dict(images=images, categories=categories, annotations=boxes)


@pytest.fixture(scope="session")
def segmenter(prepared, tmp_path_factory):
    """A folder with ``segmenter.py``, a config for the sample, and ``work``: two epochs."""
    folder = tmp_path_factory.mktemp("segmenter")
    (folder / "segmenter.py").write_text(TINY_SEGMENTER.replace("SAMPLE", str(prepared)))
    tool("train")(folder / "segmenter.py", "--work-dir", folder / "work")
    return folder
