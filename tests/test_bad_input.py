"""What the tools say to bad input, in one line; errors in a user's own code pass unchanged."""

import argparse
import json
import shutil

import pytest
from mmengine.config import Config
from running import ROOT, TINY_DETECTOR, one_error_line, shell, tool

from mixnet_dense import cli
from mixnet_dense.det.coco import CocoDataset
from mixnet_dense.engine.config import check_files, load_config
from mixnet_dense.engine.results import annotated_ids
from mixnet_dense.engine.train import train
from mixnet_dense.errors import InputError
from mixnet_dense.registry import DATASETS, TRANSFORMS


def test_missing_coco_is_one_line_and_exit_code_2(tmp_path):
    command = (ROOT / "tools/train.py", ROOT / "configs/ssdlite_mixnet.py")
    line = one_error_line(shell(*command, cwd=tmp_path))
    assert "data/coco/annotations/instances_train2017.json: not there" in line
    assert "make demo" in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["model.backbon.arch=m"], "there is no 'model.backbon'"),
        (["model.backbone.arch=xl"], "arch='xl': must be one of"),
        (["model.backbone.archs=m"], "archs"),
        (["model.backbone.type=mixnet_dense.MixNets"], "MixNets"),
        (["model.bbox_head.wrong=3"], "wrong"),
        (["train_dataloader.dataset.wrong=3"], "wrong"),
        (["train_dataloader.dataset.pipeline.1.wrong=3"], "wrong"),
        (["train_dataloader.batch_size=many"], "batch_size=many"),
        (["train_cfg.max_epoch=3"], "max_epoch"),
        (["train_cfg.max_epochs=some"], "some"),
        (["val_evaluator.metric=bboxes"], "bboxes"),
        (["model"], "must be key=value"),
        (
            ["model.bbox_head.num_classes=2"],
            "the head num_classes=2; set model.bbox_head.num_classes=4,",
        ),
    ],
)
def test_config_slips_are_named(detector, tmp_path, options, message):
    with pytest.raises(InputError, match=message) as error:
        tool("train")(detector / "detector.py", "--work-dir", tmp_path, "--cfg-options", *options)
    assert "\n" not in str(error.value)


@DATASETS.register_module()
class Broken(CocoDataset):
    def load_data_list(self):
        return [dict(img_path=row["nonsense"]) for row in super().load_data_list()]


@TRANSFORMS.register_module()
class Faulty:
    def __init__(self, size=3):
        self.size = size + "pixels"


@TRANSFORMS.register_module()
class Wrapping:
    def __init__(self):
        TRANSFORMS.build(dict(type="mmdet.Resize"))  # a host rejects what a user's code gives


@pytest.mark.parametrize(
    ("dataset", "transform", "error"),
    [
        ("Broken", "mmdet.PhotoMetricDistortion", KeyError),
        ("CocoDataset", "mixnet_dense.Faulty", TypeError),
        ("CocoDataset", "mixnet_dense.Wrapping", AssertionError),
    ],
)
def test_errors_in_a_users_own_code_pass_unchanged(detector, tmp_path, dataset, transform, error):
    config = load_config(str(detector / "detector.py"))
    config.train_dataloader.dataset.type = f"mixnet_dense.{dataset}"
    config.train_dataloader.dataset.pipeline[3] = dict(type=transform)
    with pytest.raises(error) as raised:
        train(config, str(tmp_path))
    assert type(raised.value) is error  # an InputError is a ValueError


def test_wrong_arguments_for_a_users_own_part_are_named(detector, tmp_path):
    config = load_config(str(detector / "detector.py"))
    config.train_dataloader.dataset.pipeline[3] = dict(type="mixnet_dense.Faulty", wrong=1)
    with pytest.raises(InputError, match="unexpected keyword argument 'wrong'"):
        train(config, str(tmp_path))


def test_config_files_that_are_none(tmp_path):
    with pytest.raises(InputError, match="absent.py': neither a file nor one of"):
        load_config(str(tmp_path / "absent.py"))
    for text, message in (
        ("model = dict(", "SyntaxError"),
        ("model = undefined", "NameError.*undefined"),
        ("_base_ = 'absent.py'", "absent.py"),
        ("custom_imports = dict(imports='no_such_module')", "no_such_module"),
    ):
        (tmp_path / "broken.py").write_text(text)
        with pytest.raises(InputError, match=f"broken.py': .*{message}"):
            load_config(str(tmp_path / "broken.py"))


@pytest.mark.parametrize(
    ("text", "error"), [("undefined", NameError), ("import no_such_module", ImportError)]
)
def test_a_fault_in_a_module_that_a_config_imports_passes_unchanged(
    tmp_path, monkeypatch, text, error
):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / f"faulty_{error.__name__}.py").write_text(text)
    (tmp_path / "c.py").write_text(f"custom_imports = dict(imports='faulty_{error.__name__}')")
    with pytest.raises(error):
        load_config(str(tmp_path / "c.py"))


def test_bad_input_is_one_line_or_with_debug_a_traceback(monkeypatch, capsys):
    monkeypatch.setattr(cli, "_debug", False)

    def main(*arguments):
        cli.parse(argparse.ArgumentParser(), arguments)
        raise InputError("the file is blue")

    with pytest.raises(SystemExit) as stopped:
        cli.run(main)
    assert stopped.value.code == 2 and capsys.readouterr().err == "error: the file is blue\n"
    with pytest.raises(InputError):
        cli.run(lambda: main("--debug"))


def test_what_a_broken_file_says_cannot_break_the_line(monkeypatch, capsys):
    monkeypatch.setattr(cli, "_debug", False)

    def main():
        raise InputError("weight 'a\nb\x1b[1m\u2028c': is é")

    with pytest.raises(SystemExit):
        cli.run(main)
    assert capsys.readouterr().err == "error: weight 'a?b?[1m?c': is é\n"


def test_a_torchvision_of_another_torch_is_one_line(monkeypatch, capsys):
    monkeypatch.setattr(cli, "_debug", False)
    monkeypatch.setattr(cli, "version", dict(torchvision="0.24.0", torch="2.13.0+cpu").get)

    def main(message):
        raise RuntimeError(message)

    with pytest.raises(SystemExit):
        cli.run(lambda: main("operator torchvision::nms does not exist"))
    said = "torchvision 0.24.0 does not fit torch 2.13.0: pip install --force-reinstall torchvision"
    assert capsys.readouterr().err == f"error: {said} torch==2.13.0\n"
    with pytest.raises(RuntimeError):
        cli.run(lambda: main("out of memory"))


def rewrite(detector, sample, tmp_path, change):
    """Training of the tiny config over annotations that ``change`` has spoilt."""
    text = (sample / "annotations" / "instances_train2017.json").read_text()
    (tmp_path / "spoilt.json").write_text(change(text))
    option = f"train_dataloader.dataset.ann_file={tmp_path / 'spoilt.json'}"
    arguments = ("--work-dir", tmp_path / "work", "--cfg-options", option)
    return lambda: tool("train")(detector / "detector.py", *arguments)


def test_broken_json_is_named(detector, sample, tmp_path):
    with pytest.raises(InputError, match="spoilt.json: is not JSON"):
        rewrite(detector, sample, tmp_path, lambda text: text[: len(text) // 2])()


def test_broken_json_of_the_test_set_is_named_by_predict_too(tmp_path):
    (tmp_path / "spoilt.json").write_text('{"images": [')
    loader = dict(dataset=dict(data_root=str(tmp_path), ann_file="spoilt.json"))
    with pytest.raises(InputError, match="spoilt.json: is not JSON"):
        annotated_ids(Config(dict(test_dataloader=loader)))


def test_foreign_classes_are_named(detector, sample, tmp_path):
    def rename(text):
        content = json.loads(text)
        for category in content["categories"]:
            category["name"] = "x" + category["name"]
        return json.dumps(content)

    with pytest.raises(InputError, match="xcoin.*none of which is among.*coin"):
        rewrite(detector, sample, tmp_path, rename)()


@pytest.mark.parametrize("workers", [0, 1])
def test_an_image_that_is_none_is_named(sample, tmp_path, workers):
    shutil.copytree(sample, tmp_path / "sample")
    (tmp_path / "sample" / "train2017" / "000001.jpg").write_text("no picture")
    (tmp_path / "tiny.py").write_text(TINY_DETECTOR.replace("SAMPLE", str(tmp_path / "sample")))
    options = ("--work-dir", tmp_path / "work", "--cfg-options")
    options += (f"train_dataloader.num_workers={workers}", "survival.max_unreadable=0")
    with pytest.raises(InputError, match="^train: not readable as an image: 1, first 000001.jpg; "):
        tool("train")(tmp_path / "tiny.py", *options)
    with pytest.raises(InputError, match="train2017/000001.jpg: is not a readable image$"):
        tool("train")(tmp_path / "tiny.py", "--no-check", *options)


def test_splits_with_other_classes_are_refused(detector, tmp_path):
    option = "val_dataloader.dataset.metainfo.classes=('coin','three','zero','four')"
    arguments = ("--work-dir", tmp_path, "--cfg-options", option)
    with pytest.raises(InputError, match="validation dataset has class 1 'three', .*'zero'"):
        tool("train")(detector / "detector.py", *arguments)
    arguments = (*arguments[:-1], option.replace("val_data", "test_data"))
    with pytest.raises(InputError, match="the dataset has class 1 'three', the checkpoint 'zero'"):
        tool("test")(detector / "detector.py", detector / "work", *arguments)


def test_checkpoint_of_another_model_is_refused(detector, sample, tmp_path):
    arguments = (detector / "detector.py", detector / "work", sample / "val2017")
    with pytest.raises(InputError, match="of another model: "):
        options = ("--cfg-options", "model.backbone.kernel_sizes=(3,5)")
        tool("predict")(*arguments, "--out", tmp_path, *options)
    with pytest.raises(InputError, match="no complete"):
        tool("test")(detector / "detector.py", tmp_path, "--work-dir", tmp_path)
    with pytest.raises(InputError, match="no such file"):
        tool("test")(detector / "detector.py", tmp_path / "absent.pth", "--work-dir", tmp_path)


def test_places_that_cannot_be_written_are_named(detector, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        arguments = (detector / "work", "--work-dir", tmp_path / "log")
        tool("test")(
            detector / "detector.py", *arguments, "--out", tmp_path / "file" / "metrics.json"
        )
    with pytest.raises(InputError, match="no image there"):
        tool("predict")(
            detector / "detector.py", detector / "work", tmp_path, "--out", tmp_path / "o"
        )
    with pytest.raises(InputError, match="between 0 and 1"):
        tool("predict")("c", "k", "i", "--out", "o", "--score", "2")


def test_compiling_without_a_compiler_is_said(detector, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(InputError, match="--compile: torch.compile needs a C"):
        tool("train")(detector / "detector.py", "--work-dir", tmp_path, "--compile")


def test_a_learning_rate_without_a_base_is_not_scaled(detector, tmp_path):
    config = load_config(str(detector / "detector.py"))
    config.auto_scale_lr = dict(enable=False)
    with pytest.raises(InputError, match="no auto_scale_lr.base_batch_size"):
        train(config, str(tmp_path), scale_lr=True)


def test_a_config_without_a_training_set_is_not_trained(detector, tmp_path):
    config = load_config(str(detector / "detector.py"))
    for part in ("dataloader", "cfg"):
        config[f"train_{part}"] = config[f"val_{part}"] = None
    config.optim_wrapper = config.val_evaluator = config.param_scheduler = None
    with pytest.raises(InputError, match="has no train_dataloader, train_cfg and optim_wrapper"):
        train(config, str(tmp_path))


def test_only_files_of_this_machine_are_looked_for(detector, tmp_path):
    config = load_config(str(detector / "detector.py"))
    config.test_dataloader.dataset.data_root = str(tmp_path / "absent")
    for backend in (None, dict(backend="local")):
        config.test_dataloader.dataset.backend_args = backend
        with pytest.raises(InputError, match="absent.*: not there"):
            check_files(config, ("test",))
    config.test_dataloader.dataset.backend_args = dict(backend="petrel")
    check_files(config, ("test",))
