"""The six commands of docs/own_data.md, as they stand there, on three labelled photos.

The weights are drawn, not trained; test_real_tutorial.py has the trained ones and real photos.
"""

import json
import re
import shlex

import pytest
from labelled import FORMATS, PHOTOS, paint
from mmengine.config import Config
from mmengine.registry import init_default_scope
from running import ROOT, tool

from mixnet_dense import checkpoints
from mixnet_dense.registry import MODELS
from mixnet_dense.weights import catalogue, published

_TEXT = (ROOT / "docs/own_data.md").read_text()
COMMANDS = re.search(r"```bash\n(.*?)```", _TEXT, re.DOTALL).group(1).splitlines()

# What a test changes in my.py: few steps, no other processes.
_FEWER = (
    (r"max_iters=\d+, val_interval=\d+", "max_iters=2, val_interval=2"),
    (r"\nload_from", r"\nparam_scheduler = []\nload_from"),
    (r"num_workers=\d+", "num_workers=0, persistent_workers=False"),
)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A folder of published weights, with drawn ones in place of the trained ones."""
    folder = tmp_path_factory.mktemp("cache")
    row = published.find("ssdlite_mobilenetv2_coco")
    init_default_scope("mmdet")
    model = MODELS.build(Config.fromfile(ROOT / "configs" / row.config).model)
    path = folder / f"ssdlite_mobilenetv2_coco-{row.sha256[:8]}.pth"
    meta = catalogue.metadata(row.source, row.model)
    checkpoints.write(str(path), model.state_dict(), meta)
    return folder


@pytest.fixture(autouse=True)
def _cached(cache, monkeypatch):
    monkeypatch.setenv("MIXNET_DENSE_CACHE", str(cache))


def follow(folder, monkeypatch, commands, changes=_FEWER):
    """Run commands in a folder, with changes in the config that the first one writes."""
    monkeypatch.chdir(folder)
    for command in commands:
        python, script, *arguments = shlex.split(command)
        name = re.fullmatch(r"tools/(\w+)\.py", script).group(1)
        assert python == "python" and not tool(name)(*arguments), command
        if name == "new_config":
            text = (folder / "my.py").read_text()
            for pattern, replacement in changes:
                text, count = re.subn(pattern, replacement, text)
                assert count, pattern
            (folder / "my.py").write_text(text)


def test_the_tutorial_has_at_most_six_commands():
    assert len(COMMANDS) <= 6
    assert [name for name in re.findall(r"tools/(\w+)", " ".join(COMMANDS))] == [
        "new_config", "check_data", "train", "test", "export", "predict"
    ]  # fmt: skip


def test_three_labelled_photos_become_a_detector_with_a_report(tmp_path, monkeypatch):
    FORMATS["labelme"](tmp_path / "photos")  # test_real_tutorial.py has the other formats
    follow(tmp_path, monkeypatch, COMMANDS[:4])
    report = tmp_path / "work_dirs/my/report"
    assert json.loads((report / "metrics.json").read_text())["metrics"]["coco/bbox_mAP"] >= 0
    assert (report / "index.html").read_text().count("<image ") == 1  # the validation photo


@pytest.mark.export
def test_all_commands_end_in_a_file_that_finds_boxes(tmp_path, monkeypatch):
    FORMATS["labelme"](tmp_path / "photos")
    paint(tmp_path / "new_photos/x.jpg", *PHOTOS["a.jpg"])
    follow(tmp_path, monkeypatch, COMMANDS)
    rows = json.loads((tmp_path / "found/predictions.json").read_text())
    assert rows and {row["category"] for row in rows} <= {"cat", "dog"}
