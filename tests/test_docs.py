"""The documentation: links lead somewhere, commands parse, Python runs, tables are up to date.

The arguments of commands are parsed and their configs loaded; `make test-tutorial` runs them, see
test_docs_commands.py, and docs/start.md as it stands.
"""

import ast
import csv
import importlib
import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from pickle import UnpicklingError

import pytest
import torch
from mmcv.utils.ext_loader import load_ext
from mmengine.logging import HistoryBuffer
from mmengine.registry import Registry
from running import ROOT, from_file, tool

from mixnet_dense import checkpoints, shipped
from mixnet_dense.backbones import build_classifier
from mixnet_dense.complexity import measure

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
SOURCES = "\n".join(path.read_text("utf-8") for path in (ROOT / "mixnet_dense").rglob("*.py"))
# Commands that are not ours; the shell's words for a loop stand before one of ours.
_OTHERS = {"pip", "MMCV_WITH_OPS=1", "python3", "npm", "tar", "cd", ".", "for", "done"}
# Blocks that need a model, a photo or a file that only the reader has: their imports are run.
_READERS_OWN = re.compile(r"timm_state_dict|\.jpg|fuse\(model\)|get_config|_SEVENTH")


def read(name):
    return (ROOT / "docs" / name).read_text("utf-8")


def blocks(language):
    """Page and text of each block of code in a language."""
    return [
        pytest.param(text, id=f"{page.name}-{number}")
        for page in PAGES
        for number, text in enumerate(
            re.findall(rf"^```{language}\n(.*?)^```", page.read_text("utf-8"), re.M | re.DOTALL)
        )
    ]


def commands(text):
    """The words of each command of a block; ``…`` stands for a config and a checkpoint."""
    text = text.replace("\\\n", " ").replace(" … ", " CONFIG CHECKPOINT ")
    for line in re.sub(r" > \S+", "", text).splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="&;")
        lexer.whitespace_split, words = True, []
        for word in [*lexer, "&&"]:
            if word in ("&&", ";"):
                if words and words[0] == "do":
                    words = words[1:]
                yield words
                words = []
            else:
                words.append(word)


def ours(words):
    """Name and arguments of one of our tools, or None."""
    for index, word in enumerate(words):
        if found := re.fullmatch(r"tools/(\w+)\.py", word):
            return found[1], words[index + 1 :]
        if word in ("mixnet-dense", "mixnet_dense") and words[index + 1 :]:
            return words[index + 1].replace("-", "_"), words[index + 2 :]
    return None


@pytest.mark.parametrize("text", blocks("bash"))
def test_commands_are_known_and_their_arguments_parse(text):
    targets = re.findall(r"^([\w-]+)(?= [\w-]+:|:)", (ROOT / "Makefile").read_text(), re.M)
    targets += "test", "test-openmmlab"
    for words in filter(None, commands(text)):
        if words[0] == "make":
            assert words[1] in targets
        elif not (found := ours(words)):
            script = words[1] if words[0] in ("python", "bash") and words[1:] else ""
            known = words[0] in _OTHERS | {"mixnet-dense"} or script == "-m"
            assert known or (ROOT / script).is_file(), words
        elif found[1] and "NAME" not in found[0]:
            assert tool(found[0], parse_only=True)(*found[1])
            if found[0] == "complexity" and not re.search(r"--|\*|NAME", " ".join(found[1])):
                tool("complexity")(*found[1])


def test_configs_of_the_pages_are_there():  # test_configs.py loads them
    text = "\n".join(page.read_text("utf-8") for page in PAGES)
    names = set(re.findall(r"configs/[a-z0-9_/]+\.py\b", text))
    names |= set(re.findall(r"mixnet-dense (?:train|test) ([a-z][\w/]+)(?= |`|$)", text, re.M))
    assert len(names) > 10
    for name in names:
        assert (ROOT / name).is_file() or shipped.find_config(name), name


@pytest.mark.parametrize("text", blocks("python"))
def test_python_runs(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a block may write a file
    if _READERS_OWN.search(text):
        tree = ast.parse(text)
        lines = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        text = "\n".join(map(ast.unparse, lines)).replace("import cv2", "")
    exec(compile(text, "docs", "exec"), {})


def test_the_papers_page_names_what_exists():
    text = read("papers.md")
    space = vars(importlib.import_module("mixnet_dense.backbones"))
    calls = re.findall(r"`((?:MixNet|Mobile\w+|MnasNet|build_classifier)\(.*?\))`", text)
    assert len(calls) > 15
    with torch.device("meta"):
        assert all(eval(call, dict(space)) for call in calls)
    for name in re.findall(r"`((?:ssdlite|lraspp|raspp)_\w+\.py)`", text):
        assert (ROOT / "configs" / name).is_file(), name


def test_the_lines_of_the_troubleshooting_page_are_lines_of_the_code():
    text = read("troubleshooting.md").partition("## Messages of other")[0]
    lines = re.findall(r"^\| `(.+?)` \|", text, re.M)
    assert len(lines) > 25
    for piece in (piece.strip(" ;()") for line in lines for piece in line.split("…")):
        assert piece in SOURCES or piece in _FROM_ELSEWHERE, piece


_FROM_ELSEWHERE = {  # parts that the system or Python's formatting adds
    "cannot be written: No space left on device",
    "loss is nan at step",
    "mixnet-dense",
    "pretrained=",
}


def _mmcv_extension():
    with pytest.MonkeyPatch.context() as patch:  # as it is without our package
        patch.delitem(sys.modules, "mmcv._ext", raising=False)
        finders = [finder for finder in sys.meta_path if "compat" not in type(finder).__module__]
        patch.setattr(sys, "meta_path", finders)
        load_ext("_ext", [])


_OTHERS_MESSAGES = {
    "No module named 'mmcv._ext'": _mmcv_extension,
    "MixNet is not in the mmdet::model registry": lambda: Registry("model", scope="mmdet").build(
        dict(type="MixNet")
    ),
    "persistent_workers option needs num_workers > 0": lambda: torch.utils.data.DataLoader(
        [0], num_workers=0, persistent_workers=True
    ),
}


def messages_of_others():
    text = read("troubleshooting.md").partition("## Messages of other")[2]
    return re.findall(r"^\| `(.+?)` ✓ \|", text, re.M)


@pytest.mark.parametrize("message", _OTHERS_MESSAGES)
def test_the_troubleshooting_page_quotes_other_libraries(message):
    if message.endswith("_ext'") and importlib.util.find_spec("mmcv._ext").origin:
        pytest.skip("this mmcv is compiled")
    with pytest.raises((ImportError, KeyError, ValueError), match=re.escape(message)):
        _OTHERS_MESSAGES[message]()
    assert message in messages_of_others()


def test_a_log_of_a_training_keeps_torch_from_loading_a_checkpoint(tmp_path):
    path, message = str(tmp_path / "epoch_1.pth"), "Weights only load failed"
    log = HistoryBuffer([1.0], [1])
    torch.save(dict(state_dict=dict(weight=torch.ones(2)), message_hub=log), path)
    with pytest.raises(UnpicklingError, match=message):
        torch.load(path, weights_only=True)
    assert checkpoints.read(path)[0]["weight"].tolist() == [1, 1]
    assert {message, *_OTHERS_MESSAGES} == set(messages_of_others())


def slug(heading):
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings(page):
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.M | re.DOTALL)
    for target, anchor in re.findall(r"\]\((?!\w+:)([^)#\s]*)#?([^)\s]*)\)", text):
        place = page.parent / target if target else page
        assert place.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", place.read_text("utf-8"), re.M)
            assert anchor in map(slug, headings), f"{target}#{anchor}"


def test_every_page_is_in_the_site():
    index = read("index.md").splitlines()
    names = [path.stem for path in (ROOT / "docs").glob("*.md") if path.stem != "index"]
    assert not set(names) - set(index), "docs/index.md"


@pytest.fixture(scope="module")
def chosen():
    return from_file(ROOT / "docs/choose_a_model.py")


def test_the_models_to_choose_from_are_up_to_date(chosen):
    text = chosen.PAGE.read_text("utf-8")
    assert text == chosen.with_tables(text), "python docs/choose_a_model.py"
    zoo = read("model_zoo.md")
    for row in csv.DictReader(chosen.TABLE.open()):
        costs = int(row["parameters"]), int(row["multiply_adds"])
        if row["kind"] == "classification":
            with torch.device("meta"):
                model = build_classifier(row["model"])
            assert costs[0] == sum(parameter.numel() for parameter in model.parameters())
            if row["model"] == "mobilenetv3_small":
                assert costs[1] == measure(build_classifier(row["model"]), (224, 224)).macs
            continue
        (listed,) = [line for line in zoo.splitlines() if f"configs/{row['model']}.py" in line]
        assert all(f" {number:,} " in listed for number in costs)
        assert row["paper"] in listed


@pytest.mark.tutorial
def test_the_start_ends_with_found_objects(tmp_path):
    text = read("start.md")
    block = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)[1]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    shell, environment = ["sh", "-e", "-c", block], {**os.environ, "PATH": path}
    subprocess.run(shell, cwd=tmp_path, env=environment, check=True)
    metrics = json.loads((tmp_path / "work_dirs/start/report/metrics.json").read_text())
    assert metrics["metrics"]["coco/bbox_mAP_50"] > 0.4
    assert json.loads((tmp_path / "found/predictions.json").read_text())
