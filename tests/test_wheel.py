"""The wheel and the source distribution, built once, and the command run from the wheel alone."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile

import pytest
from running import ROOT, one_error_line, shell


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A folder with ``wheel/``, unpacked, and ``again/``, the wheel of the source distribution."""
    folder = tmp_path_factory.mktemp("built")
    source = folder / "source"  # a build leaves files behind
    for name in ("mixnet_dense", "configs", "docs", "tests", "tools"):
        without = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=without)
    for path in ROOT.glob("[A-Za-z]*"):
        if path.is_file():
            shutil.copy(path, source)
    build("build_sdist", source, folder)
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    for name, tree in (("wheel", source), ("again", folder / archive.name.removesuffix(".tar.gz"))):
        build("build_wheel", tree, folder / f"{name}.dist")
        with zipfile.ZipFile(next((folder / f"{name}.dist").iterdir())) as wheel:
            wheel.extractall(folder / name)
    return folder


def build(what, tree, folder):
    code = f"from setuptools import build_meta; build_meta.{what}({str(folder)!r})"
    shell("-c", code, cwd=tree).check_returncode()


def files(folder):
    return {
        path.relative_to(folder): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.mark.parametrize("name", ["configs", "tools"])
def test_wheel_has_the_repository_s(built, name):
    assert files(built / "wheel/mixnet_dense/.mim" / name) == files(ROOT / name)


@pytest.mark.parametrize("name", ["report", "export"])
def test_wheel_has_the_templates_of_pages(built, name):
    assert files(built / "wheel/mixnet_dense" / name) == files(ROOT / "mixnet_dense" / name)


def test_source_distribution_builds_the_same_wheel(built):
    assert files(built / "again") == files(built / "wheel")


def test_source_distribution_has_what_tests_need(built):
    (tree,) = (path for path in built.glob("mixnet_dense-*") if path.is_dir())
    assert files(tree / "tests") == files(ROOT / "tests")


def command(built, folder, *argv):
    """``python -m mixnet_dense`` in a folder, with the wheel before anything that is installed."""
    line = [sys.executable, "-m", "mixnet_dense", *argv]
    environment = {**os.environ, "PYTHONPATH": str(built / "wheel")}
    return subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True)


def test_a_shipped_config_is_found_by_its_name(built, tmp_path):
    done = command(built, tmp_path, "complexity", "ssdlite_mixnet_sample", "--shape", "64", "64")
    # SSDLite has 4 classes here, not the 80 of the 4,952,363 in docs/model_zoo.md
    assert done.returncode == 0 and "ssdlite_mixnet_sample      64 x 64    3," in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_bad_input_of_the_command_is_one_line(built, tmp_path):
    line = one_error_line(command(built, tmp_path, "pr"))
    assert line.startswith("error: mixnet-dense pr: must be one of adapt, analyze, benchmark, ")
    line = one_error_line(command(built, tmp_path, "train", "ssdlite_mixnets"))
    configs = built / "wheel/mixnet_dense/.mim/configs"
    assert line == f"error: config 'ssdlite_mixnets': neither a file nor one of {configs}"


def test_help_lists_the_tools(built, tmp_path):
    printed = command(built, tmp_path).stdout
    assert "  train            Train a config\n" in printed
    assert command(built, tmp_path, "convert", "--help").stdout.startswith(
        "usage: mixnet-dense convert-weights "
    )
