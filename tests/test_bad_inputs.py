"""Every row of `bad_inputs` is one clear line and exit code 2, and leaves nothing behind."""

import os
import re
import shlex
import shutil
import signal
import warnings

import bad_inputs
import pytest
from mmengine.logging import MMLogger
from mmengine.visualization import Visualizer
from running import ROOT, TINY_DETECTOR, TINY_SEGMENTER, tool

from mixnet_dense import cli

ROWS = [
    pytest.param(row, id=f"{kind}: {row.what}: {row.command}")
    for kind, rows in bad_inputs.KINDS.items()
    for row in rows
]
_PROGRESS = re.compile(r"\d+/\d+ |Downloading: ")  # the latter by torch 2.6
_LOGS = re.compile(r"w/.*(\.log|/vis_data/.*|\.py)")  # of a training or test that began


@pytest.fixture(scope="module")
def good(prepared, detector, segmenter, tmp_path_factory):
    """The folder of `bad_files`, unspoilt."""
    folder = tmp_path_factory.mktemp("good")
    shutil.copytree(prepared, folder / "sample")
    (folder / "det.py").write_text(TINY_DETECTOR.replace("SAMPLE", "sample"))
    (folder / "seg.py").write_text(TINY_SEGMENTER.replace("SAMPLE", "sample"))
    shutil.copy(detector / "work" / "epoch_2.pth", folder / "k.pth")
    shutil.copy(segmenter / "work" / "epoch_2.pth", folder / "s.pth")
    return folder


@pytest.fixture
def folder(good, tmp_path, monkeypatch):
    for kind in (Visualizer, *Visualizer.__subclasses__()):
        kind._instance_dict.clear()  # those of earlier rows write into folders that are gone
    MMLogger._instance_dict.clear()  # and to a standard output that was of an earlier test
    monkeypatch.setattr(cli, "_debug", False)
    shutil.copytree(good, tmp_path / "run", copy_function=os.link)
    monkeypatch.chdir(tmp_path / "run")
    yield tmp_path / "run"
    shutil.rmtree(tmp_path / "run")


def contents(folder):
    """What tells whether a file was written: its inode, size and time, by name."""
    files = {path: path.stat() for path in folder.rglob("*") if path.is_file()}
    return {
        str(path.relative_to(folder)): (found.st_ino, found.st_size, found.st_mtime_ns)
        for path, found in files.items()
    }


class Hang(BaseException):
    """No handler of the tools may catch it."""


def waited(*_):
    raise Hang


@pytest.mark.parametrize("row", ROWS)
def test_bad_input_is_one_line(row, folder, capfd):
    row.make(folder)
    before = contents(folder)
    name, *arguments = shlex.split(row.command)
    main = tool(name.replace("-", "_"))
    capfd.readouterr()
    signal.signal(signal.SIGALRM, waited)
    signal.alarm(60)  # nothing takes a second, but the machine may stand still
    try:
        with pytest.raises(SystemExit) as stopped, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            cli.run(lambda: main(*arguments))
    finally:
        signal.alarm(0)
    lines = [line for line in capfd.readouterr().err.splitlines() if not _PROGRESS.match(line)]
    assert stopped.value.code == 2 and len(lines) == 1, lines
    assert lines[0].startswith("error: ") and row.says in lines[0], lines[0]
    after = contents(folder)
    changed = [name for name, key in after.items() if before.get(name) != key]
    assert not [name for name in changed if not _LOGS.fullmatch(name)]
    assert before.keys() <= after.keys()


def test_there_are_at_least_120_rows_and_no_two_are_alike():
    assert len(ROWS) >= 120 and len({row.id for row in ROWS}) == len(ROWS)


def test_the_document_has_the_table():
    text = (ROOT / "docs/bad_input.md").read_text("utf-8")
    assert text == bad_inputs.document(), "python tests/bad_inputs.py > docs/bad_input.md"
