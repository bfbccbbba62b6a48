"""The folder of a web page that runs an exported file; its scripts: see test_demo_page_browser."""

import io
import json
import os
import re
import tarfile
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

import pytest
from running import ROOT, tool

from mixnet_dense.errors import InputError
from mixnet_dense.export import demo_page
from mixnet_dense.export.description import Description

ABOUT = Description(
    task="detection",
    config="my.py",
    model={},
    suppression=dict(score_thr=0.02, max_per_img=7, nms=dict(type="nms", iou_threshold=0.5)),
    classes=["cat", "</script>"],
    palette=None,
    mean=[1.0, 2.0, 3.0],
    std=[1.0, 1.0, 1.0],
    bgr_to_rgb=True,
    batch=1,
    height=64,
    width=96,
    resized=[64, 96],
    preprocess=False,
    end_to_end=True,
)


@pytest.fixture
def page(tmp_path, monkeypatch):
    """Runs the command in a folder with a model that needs no runtime, described by ``about``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MIXNET_DENSE_CACHE", str(tmp_path / "cache"))
    Path("model.onnx").write_bytes(b"a model")
    with tarfile.open("runtime.tgz", "w:gz") as archive:
        for name in demo_page.RUNTIME:
            member = tarfile.TarInfo(f"package/dist/{name}")
            member.size = len(name)
            archive.addfile(member, io.BytesIO(name.encode()))

    def run(*arguments, about=ABOUT):
        monkeypatch.setattr(demo_page, "Session", lambda _: SimpleNamespace(about=about))
        tool("demo_page")("model.onnx", "--out", "out/page", *arguments)
        return Path("out/page")

    return run


def test_the_folder_has_all_that_the_page_loads(page):
    folder = page("--runtime", "runtime.tgz")
    names = {file.name for file in folder.iterdir()}
    ours = {file.name for file in (ROOT / "mixnet_dense/export/web").iterdir()}
    assert names == {*ours, *demo_page.RUNTIME, "model.onnx", "model.json"}
    text = "".join((folder / name).read_text() for name in ours)
    loaded = re.findall(r'(?:from|fetch\(|create\(|src=) ?"(?:\./)?([\w.-]+)"', text)
    assert len(loaded) == 5 and set(loaded) < names
    assert set(re.findall(r"https?://[^\s<]+", text)) == {"http://localhost:8000."}
    assert (folder / "model.onnx").read_bytes() == b"a model"
    assert all((folder / name).read_bytes() == name.encode() for name in demo_page.RUNTIME)
    umask = os.umask(0)
    os.umask(umask)
    assert folder.stat().st_mode & 0o777 == 0o777 & ~umask  # a web server may read it


def test_the_page_knows_what_the_model_needs(page):
    about = json.loads((page("--runtime", "runtime.tgz") / "model.json").read_text())
    assert about["classes"] == ["cat", "</script>"] and about["config"] == "my.py"
    assert about["score_thr"] == 0.02 and about["max_per_img"] == 7
    assert about["palette"] == [[230, 46, 46], [46, 100, 230]]  # hues 0 and 0.618
    assert (about["height"], about["width"], about["resize"]) == (64, 96, "Resize")
    assert not {"model", "suppression"} & about.keys()


def test_the_runtime_may_be_unpacked(page):
    with tarfile.open("runtime.tgz") as archive:
        archive.extractall("unpacked", filter="data")
    for given in ("unpacked", "unpacked/package"):
        assert set(demo_page.read_runtime(given)) == set(demo_page.RUNTIME)


def left():
    return sorted(str(path) for path in Path().rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (dict(end_to_end=False), "'model.onnx': has raw outputs, .* --end-to-end"),
        (dict(batch=3), "'model.onnx': takes 3 images at once"),
    ],
)
def test_a_model_that_the_page_cannot_run_is_refused(page, change, says):
    with pytest.raises(InputError, match=says):
        page("--runtime", "runtime.tgz", about=replace(ABOUT, **change))
    assert left() == ["model.onnx", "runtime.tgz"]


@pytest.mark.parametrize("kind", ["no archive", "cut", "another package", "a folder", "nothing"])
def test_another_runtime_is_refused(page, kind):
    bad = Path("bad.tgz")
    if kind == "no archive":
        bad.write_bytes(b"PK")
    elif kind == "cut":
        bad.write_bytes(Path("runtime.tgz").read_bytes()[:60])
    elif kind == "another package":
        tarfile.open(bad, "w:gz").close()
    elif kind == "a folder":
        bad.mkdir()
    before = left()
    with pytest.raises(InputError, match="^bad.tgz.*: is not npm's package onnxruntime-web@"):
        page("--runtime", bad)
    assert left() == before


def test_a_full_disk_leaves_nothing(page, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(demo_page, "put_in_place", full)
    with pytest.raises(InputError, match="^out/page: cannot be written: No space left on device$"):
        page("--runtime", "runtime.tgz")
    assert list(Path("out").iterdir()) == []


def npm(script):
    """An npm that does what a shell script says."""
    Path("bin").mkdir()
    Path("bin/npm").write_text(f"#!/bin/sh\n{script}\n")
    Path("bin/npm").chmod(0o755)


@pytest.mark.parametrize(
    ("script", "says"),
    [
        (None, "npm, which is not installed; run 'npm pack onnxruntime-web@.*--runtime onnx"),
        ("echo ENOTFOUND >&2; exit 1", "npm could not fetch it: ENOTFOUND; run 'npm pack"),
        ("exit 3", "npm could not fetch it: exit code 3; run"),
        ("exit 0", "npm could not fetch it: exit code 0; run"),
        (": > onnxruntime-web-1.30.0.tgz", "npm gave sha256 e3b0c44.*nothing kept"),
    ],
)
def test_a_runtime_that_cannot_be_fetched(page, monkeypatch, script, says):
    if script:
        npm(script)
    monkeypatch.setenv("PATH", str(Path("bin").resolve()))
    with pytest.raises(InputError, match=f"^onnxruntime-web@.*{says}"):
        page()
    assert not any(Path("cache").iterdir()) if script else not Path("cache").exists()
    assert not Path("out/page").exists()


def test_the_runtime_is_fetched_once(page, monkeypatch):
    content = Path("runtime.tgz").read_bytes()
    monkeypatch.setattr(demo_page, "SHA256", sha256(content).hexdigest())
    npm(f'PATH="{os.environ["PATH"]}"; cp {Path("runtime.tgz").resolve()} {demo_page._ARCHIVE}')
    monkeypatch.setenv("PATH", str(Path("bin").resolve()))
    page()
    Path("bin/npm").unlink()
    assert demo_page.fetch().read_bytes() == content
    assert [file.name for file in Path("cache").iterdir()] == [demo_page._ARCHIVE]
