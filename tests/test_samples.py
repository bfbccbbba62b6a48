"""Images to calibrate and verify with are those of the dataset's own list."""

import json

import cv2
import numpy as np
import pytest
from mmengine.config import Config

from mixnet_dense.engine.samples import image_files
from mixnet_dense.errors import InputError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Ten images in two lists, one of no list, and others below the current folder."""
    for name in (*(f"{index}.png" for index in range(10)), "unlisted.png", "elsewhere/a.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / name), np.zeros((8, 8, 3), np.uint8))
    for name, numbers in (("a", range(6)), ("b", range(6, 10))):
        rows = [dict(id=i, file_name=f"{i}.png", height=8, width=8) for i in numbers]
        content = dict(images=rows, annotations=[], categories=[dict(id=1, name="thing")])
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def of_list(folder, name, **options):
    options = options or dict(data_root=str(folder), data_prefix=dict(img=""))
    pipeline = [dict(type="mixnet_dense.NoSuchTransform")]  # never built
    return dict(
        type="mixnet_dense.CocoDataset",
        ann_file=str(folder / f"{name}.json"),
        metainfo=dict(classes=("thing",)),
        pipeline=pipeline,
        **options,
    )


def names(dataset, count) -> list[str]:
    config = Config(dict(train_dataloader=dict(dataset=dataset), default_scope="mmdet"))
    return [path.name for path in image_files(config, "train", count)]


@pytest.mark.parametrize("prefix", ["given", "empty"])
def test_the_list_says_which_images(folder, prefix):
    options = {
        "given": dict(data_prefix=dict(img=f"{folder}/")),
        "empty": dict(data_prefix=dict(img=""), data_root=str(folder)),
    }[prefix]
    assert names(of_list(folder, "b", **options), 300) == ["6.png", "7.png", "8.png", "9.png"]


def test_a_list_without_a_prefix(folder):
    """mmseg's; mmdet's datasets need ``data_prefix``."""
    (folder / "list.txt").write_text("3\n5\n")
    dataset = dict(
        type="mmseg.BaseSegDataset",
        data_root=str(folder),
        ann_file="list.txt",
        img_suffix=".png",
        metainfo=dict(classes=("thing",)),
        pipeline=[dict(type="mixnet_dense.NoSuchTransform")],
    )
    assert names(dataset, 300) == ["3.png", "5.png"]


def test_evenly_spread(folder):
    dataset = of_list(folder, "a")
    assert names(dataset, 3) == ["0.png", "2.png", "4.png"]
    assert names(dataset, 4) == ["0.png", "1.png", "3.png", "4.png"]


def test_wrapped_datasets(folder):
    parts = [of_list(folder, name) for name in "ab"]
    both = dict(type="ConcatDataset", datasets=parts)
    assert names(both, 5) == ["0.png", "2.png", "4.png", "6.png", "8.png"]
    assert len(names(both, 300)) == 10
    repeated = dict(type="RepeatDataset", dataset=parts[0], times=3)
    assert names(repeated, 6) == [f"{index}.png" for index in range(6)]
    mosaic = dict(type="MultiImageMixDataset", dataset=parts[0], pipeline=[dict(type="Mosaic")])
    assert names(mosaic, 2) == ["0.png", "3.png"]


def test_segmentation_without_a_look_at_label_maps(folder):
    dataset = dict(
        type="mixnet_dense.CityscapesDataset",
        data_root=str(folder),
        data_prefix=dict(img_path="elsewhere", seg_map_path="absent"),
        img_suffix=".png",
        pipeline=[],
    )
    config = Config(dict(test_dataloader=dict(dataset=dataset), default_scope="mmseg"))
    assert [path.name for path in image_files(config, "test", 3)] == ["a.png"]


def test_no_images_are_named(folder):
    with pytest.raises(InputError, match="config: has no test_dataloader to take images from"):
        image_files(Config(dict(test_dataloader=None)), "test", 3)
    with pytest.raises(InputError, match="absent.json: not there; put COCO 2017"):
        names(of_list(folder, "absent"), 3)
