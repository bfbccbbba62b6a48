"""The commands of the pages, as they stand, in a reader's folder: part of `make test-tutorial`.

Small sets in the layouts of COCO and Cityscapes stand for the real ones, and each command gets some
more arguments, which make it short. `_ELSEWHERE` says which commands are left out, and why.
docs/start.md is run whole by test_docs.py.
"""

import re
import shutil
import subprocess
import sys
from glob import glob
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from labelled import FORMATS, PHOTOS, paint, pairs
from mmdet.datasets import CocoDataset
from running import ROOT, tool
from test_docs import PAGES, commands, ours
from test_tutorial import cache  # noqa: F401  (a fixture)

from mixnet_dense.backbones import build_classifier
from mixnet_dense.engine.config import load_config
from mixnet_dense.files import read_json, write_json

pytestmark = pytest.mark.tutorial

_ELSEWHERE = {  # a part of a command: what runs it, or why nothing does
    r"^(make|pip|npm|tar|cd|python3 -m venv|\.|MMCV_WITH_OPS=1) ": "make the environment",
    r"^(for|done)": "a loop of the shell, whose commands are run for each of _MODELS",
    r"^mixnet-dense$": "test_wheel.py",
    r"torchrun|dist_train|slurm_train": "test_distributed.py, test_launch_scripts.py",
    r"--device cuda|-m pytest": "make test-gpu",
    r"--format (tflite|ncnn)": "make test-export, in an environment with these packages",
    r"package/|deeplab": "make test-real, on files that npm has",
    r"timm|ssdlite_mixnet_pretrained|mixnet_transfer": "make test-reuse, test_convert_weights.py",
    r"demo_page|http\.server": "make test-browser",
    r"analyze_logs": "not by a test: it needs seaborn",
    r"--measure|evaluation_speed|latency_error": "not by a test: minutes of measuring",
    r"--url https": "test_many_shards.py, which has a server",
}
_MODELS = ("lraspp", "lraspp_of_mmseg")
_STANDS_FOR = {
    "CONFIG": "configs/ssdlite_mixnet_sample.py",
    "CHECKPOINT": "work_dirs/demo",
    "work_dirs/NAME/epoch_3.pth": "work_dirs/demo/epoch_1.pth",
}
_OF_SEGMENTERS = {
    "CONFIG": "configs/lraspp_mobilenetv3_large.py",
    "CHECKPOINT": "work_dirs/lraspp_mobilenetv3_large",
}
_SHORT = {
    "adapt": "--budget 99% --steps 1 --proposals 1 --holdout 4 --repeats 1",
    "benchmark": "--repeats 1",
    "latency": "--repeats 1",
    "mmdet_loss": "--repeats 1 --batch 2",
    "prepare_data sample": "--train 8 --val 4",
}
_LOADER = ("batch_size=4", "num_workers=0", "persistent_workers=False")


def _shorter(name: str, arguments: list[str]) -> list[str]:
    """The arguments, and those that make a command short."""
    key = " ".join([name, arguments[0]]) if name == "prepare_data" else name
    more = _SHORT.get(key, "").split()
    if name not in ("train", "test", "adapt"):
        return [*arguments, *more]
    config = load_config(arguments[0])
    # of fine-tuning the first 20 steps are a warm-up
    loop, count = ("max_iters", 21) if "max_iters" in config.train_cfg else ("max_epochs", 1)
    options = [f"train_cfg.{loop}={count}", f"train_cfg.val_interval={count}"]
    for part in ("train", "val", "test"):
        if config.get(f"{part}_dataloader"):
            settings = _LOADER if part == "train" else _LOADER[1:]
            options += [f"{part}_dataloader.{setting}" for setting in settings]
    return [*arguments, *more, "--cfg-options", *options]


def _run(words: list[str]) -> None:
    """Run a command: ours in this process."""
    text = " ".join(words)
    names = _OF_SEGMENTERS if re.search("--(tta|slide|submission)", text) else _STANDS_FOR
    words = [names.get(word, word) for word in words]
    words = [file for word in words for file in (sorted(glob(word)) if "*" in word else [word])]
    if "run" in words:  # a script of mmdet, which changes its process
        subprocess.run([sys.executable, "-m", "mixnet_dense", *words[1:]], check=True)
    elif found := ours(words):
        name, arguments = found
        assert not tool(name)(*_shorter(name, arguments)), text
    else:
        assert words[:2] == ["python", "-m"], text
        arguments = [word.replace("../", "") for word in words[3:]]
        command = [ROOT / "tests" / f"{words[2]}.py", *arguments, *_SHORT[words[2]].split()]
        subprocess.run([sys.executable, *command], check=True)


def _relabel(folder, names) -> None:
    """Give the classes of the sample other names, and more classes without objects."""
    for path in (folder / "annotations").iterdir():
        content = read_json(path)
        first = max(row["id"] for row in content["categories"]) + 1
        ids = [row["id"] for row in content["categories"]]
        ids = [*ids, *range(first, first + len(names))][: len(names)]
        rows = [dict(id=number, name=name) for number, name in zip(ids, names, strict=True)]
        boxes = [
            dict(row, category_id=min(row["category_id"], ids[-1]))
            for row in content["annotations"]
        ]
        write_json(path, dict(content, categories=rows, annotations=boxes))


@pytest.fixture(scope="module")
def reader(tmp_path_factory, prepared, cache):  # noqa: F811
    """The folder of somebody who has the repository, data, photos and weights."""
    folder = tmp_path_factory.mktemp("reader")
    for name in ("configs", "tools", "tests", "docs"):
        (folder / name).symlink_to(ROOT / name)
    for name in ("sample", "coco", "cityscapes", "raccoon"):
        shutil.copytree(prepared, folder / "data" / name)
    images = folder / "data/cityscapes/leftImg8bit"
    shutil.copytree(images / "val", images / "test")
    _relabel(folder / "data/coco", CocoDataset.METAINFO["classes"])
    _relabel(folder / "data/raccoon", ["raccoon"])
    for split in ("train", "val"):
        content = folder / f"data/raccoon/annotations/instances_{split}2017.json"
        shutil.copytree(
            folder / f"data/raccoon/{split}2017", folder / "data/raccoon/images", dirs_exist_ok=True
        )
        content.rename(content.with_name(f"{split}.json"))
    FORMATS["labelme"](folder / "photos")
    paint(folder / "new_photos/x.jpg", *PHOTOS["a.jpg"])
    pairs(folder / "street")
    clip = cv2.VideoWriter(str(folder / "clip.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 10, (96, 64))
    for _ in range(3):
        clip.write(np.zeros((64, 96, 3), np.uint8))
    clip.release()
    shutil.copy(next(cache.iterdir()), folder / "ssdlite.pth")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        torch.save(build_classifier("mobilenetv2").state_dict(), "ours.pth")
        given = ("ours.pth", "mobilenet_v2-b0353104.pth", "--source", "torchvision")
        tool("convert_weights")(*given, "--model", "mobilenet_v2", "--reverse")
        for name in ("demo", "other"):
            _run(f"python tools/train.py CONFIG --work-dir work_dirs/{name}".split())
        _run("python tools/test.py CONFIG work_dirs/other --report work_dirs/other/report".split())
        _run("python tools/new_config.py photos/ --out my.py".split())
        _run("python tools/train.py my.py".split())
        load_config("ssdlite_mixnet").dump("mine.py")
    return folder


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.name != "start.md"], ids=lambda page: page.name
)
def test_the_commands_of_a_page_run(page, reader, cache, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setenv("MIXNET_DENSE_CACHE", str(cache))
    for text in re.findall(r"^```bash\n(.*?)^```", page.read_text("utf-8"), re.M | re.DOTALL):
        for words in filter(None, commands(text)):
            command = " ".join(words)
            if any(re.search(part, command) for part in _ELSEWHERE):
                continue
            # the sample's default folder must not be there
            monkeypatch.chdir(tmp_path if command.endswith("prepare-data sample") else reader)
            if "--out my.py" in command:
                Path("my.py").unlink()
                shutil.rmtree("my_labels")
            if "found.json" in command:
                shutil.copy("work_dirs/adapted/found.json", ".")
            for model in _MODELS if "$model" in command else [""]:
                print("+", command.replace("$model", model))
                _run([word.replace("$model", model) for word in words])
