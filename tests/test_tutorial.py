"""The six commands of docs/own_data.md, as they stand there, on three labelled photos."""

import json
import re
import shlex

import pytest
from labelled import FORMATS, PHOTOS, paint
from running import ROOT, tool

_TEXT = (ROOT / "docs/own_data.md").read_text()
COMMANDS = re.search(r"```bash\n(.*?)```", _TEXT, re.DOTALL).group(1).splitlines()

# What a test changes in my.py: a narrow network, few steps, no other processes.
_FEWER = (
    (r"max_iters=\d+, val_interval=\d+", "max_iters=24, val_interval=24"),
    (r'arch="large"', 'arch="large", width=0.35'),
    (r"num_workers=\d+", "num_workers=0, persistent_workers=False"),
)


def follow(folder, monkeypatch, commands):
    """Run commands in a folder; make the config that the first one writes a small one."""
    monkeypatch.chdir(folder)
    for command in commands:
        python, script, *arguments = shlex.split(command)
        name = re.fullmatch(r"tools/(\w+)\.py", script).group(1)
        assert python == "python" and not tool(name)(*arguments), command
        if name == "new_config":
            text = (folder / "my.py").read_text()
            for pattern, replacement in _FEWER:
                text, count = re.subn(pattern, replacement, text)
                assert count, pattern
            (folder / "my.py").write_text(text)


def test_the_tutorial_has_at_most_six_commands():
    assert len(COMMANDS) <= 6
    assert [name for name in re.findall(r"tools/(\w+)", " ".join(COMMANDS))] == [
        "new_config", "check_data", "train", "test", "export", "predict"
    ]  # fmt: skip


@pytest.mark.parametrize("name", FORMATS)
def test_three_labelled_photos_become_a_detector_with_a_report(tmp_path, monkeypatch, name):
    FORMATS[name](tmp_path / "photos")
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
