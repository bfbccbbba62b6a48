"""tools/convert_weights.py, the files it reads and writes, and timm:// in configs."""

import pickle
import sys
import types

import golden
import pytest
import safetensors.torch
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from running import ROOT, one_error_line, shell, tool

from mixnet_dense.backbones import MixNet, MobileNetV2
from mixnet_dense.engine.pretrained import warn_pretrained
from mixnet_dense.errors import InputError
from mixnet_dense.registry import MODELS
from mixnet_dense.weights import catalogue, convert, files, hub, revert
from mixnet_dense.weights.convert import plan

TO_MIXNET = ("--source", "timm", "--model", "mixnet_s")


@pytest.fixture(scope="module")
def timm_state():
    return golden.state_dict("timm_mixnet_s")


@pytest.fixture(scope="module")
def ours(timm_state):
    return convert(timm_state, "timm", "mixnet_s")


def same(found, expected):
    return set(found) == set(expected) and all(torch.equal(found[k], expected[k]) for k in found)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("wrapper", [None, "state_dict", "model", "ema"])
def test_file_of_any_wrapping_becomes_ours(timm_state, ours, tmp_path, wrapper, suffix, capsys):
    state = {f"module.{key}": value for key, value in timm_state.items()}
    torch.save({wrapper: state, "epoch": 3} if wrapper else state, tmp_path / "theirs.pth")
    out = tmp_path / f"ours{suffix}"
    tool("convert_weights")(tmp_path / "theirs.pth", out, *TO_MIXNET)
    found, meta = files.read(str(out))
    assert same(found, ours)
    assert meta["converted"] == dict(source="timm", model="mixnet_s")
    assert meta["assumes"] == catalogue.metadata("timm", "mixnet_s")["assumes"]
    text = capsys.readouterr().out
    assert f"{len(ours)} keys, from {len(timm_state) - 2} of {len(timm_state)}" in text
    MixNet("s").load_state_dict(found)


def test_safetensors_of_timm_are_read(timm_state, ours, tmp_path):
    safetensors.torch.save_file(timm_state, tmp_path / "model.safetensors")
    tool("convert_weights")(tmp_path / "model.safetensors", tmp_path / "ours.pth", *TO_MIXNET)
    assert same(files.read(str(tmp_path / "ours.pth"))[0], ours)


def test_ours_go_back(timm_state, ours, tmp_path):
    torch.save(dict(state_dict=ours), tmp_path / "ours.pth")
    out = tmp_path / "theirs.safetensors"
    tool("convert_weights")(tmp_path / "ours.pth", out, *TO_MIXNET, "--reverse")
    body = {k: v for k, v in timm_state.items() if not k.startswith("classifier.")}
    assert same(files.read(str(out))[0], body)


# ------------------------------------------------------------------- bad files


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def bad_pickle(folder):
    torch.save(dict(state_dict=Malicious(folder / "created")), folder / "src.pth")
    return "could run code"


def bad_old_pickle(folder):
    (folder / "src.pth").write_bytes(pickle.dumps(Malicious(folder / "created")))
    return "is not a checkpoint of tensors and plain values"


def cut_short(folder):
    torch.save(golden.state_dict("timm_mixnet_s"), folder / "src.pth")
    whole = (folder / "src.pth").read_bytes()
    (folder / "src.pth").write_bytes(whole[: len(whole) // 2])
    return "src.pth"


def text(folder):
    (folder / "src.pth").write_text("no weights")
    return "src.pth"


def text_of_opcodes(folder):
    (folder / "src.pth").write_text("sorry, no weights")  # pickle reads an s as an instruction
    return "src.pth' is not readable"


def numbered(folder):
    torch.save({0: torch.zeros(1)}, folder / "src.pth")
    return "holds a dict of 0, not weights"


def without_bias(folder):
    state = golden.state_dict("timm_mixnet_s")
    del state["blocks.1.0.bn1.bias"], state["blocks.1.0.conv_pw.0.weight"]
    torch.save(state, folder / "src.pth")
    return "mixnet_s: 2 keys missing, first 'blocks.1.0.conv_pw.0.weight'; nothing written"


def with_bias(folder):
    state = golden.state_dict("timm_mixnet_s") | {"conv_stem.bias": torch.zeros(16)}
    torch.save(state, folder / "src.pth")
    return "1 keys not of this model, first 'conv_stem.bias'"


def absent(folder):
    return "src.pth': no such file"


def no_weights(folder):
    torch.save(dict(epoch=3, name="x"), folder / "src.pth")
    return "holds a dict of epoch, name, not weights"


def other_network(folder):
    torch.save(golden.state_dict("timm_mobilenetv2_100"), folder / "src.pth")
    return "is not timm mixnet_s: .* keys missing, .* not of this model"


def wider(folder):
    state = golden.state_dict("timm_mixnet_s")
    state["bn1.weight"] = torch.ones(24)
    torch.save(state, folder / "src.pth")
    return r"1 keys of another shape, first 'stem.bn.weight \(24,\) for \(16,\)'"


@pytest.mark.parametrize(
    "spoil",
    [
        *(bad_pickle, bad_old_pickle, cut_short, text, text_of_opcodes, absent, no_weights),
        *(numbered, other_network, wider, without_bias, with_bias),
    ],
)
def test_bad_files_are_one_line_and_nothing_is_written(tmp_path, spoil):
    message = spoil(tmp_path)
    with pytest.raises(InputError, match=message) as error:
        tool("convert_weights")(tmp_path / "src.pth", tmp_path / "dst.pth", *TO_MIXNET)
    assert "\n" not in str(error.value)
    assert {path.name for path in tmp_path.iterdir()} <= {"src.pth"}


def test_broken_safetensors_are_named(tmp_path):
    (tmp_path / "src.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{broken")
    with pytest.raises(InputError, match="src.safetensors' is not readable"):
        tool("convert_weights")(tmp_path / "src.safetensors", tmp_path / "dst.pth", *TO_MIXNET)


def test_exit_code_is_2(tmp_path):
    other_network(tmp_path)
    command = (ROOT / "tools/convert_weights.py", tmp_path / "src.pth", tmp_path / "dst.pth")
    found = shell(*command, *TO_MIXNET, cwd=tmp_path)
    assert "nothing written" in one_error_line(found)
    assert "missing: blocks.1.0.conv_pw.0.weight" in found.stdout
    assert "of another shape: stem.bn.weight (32,) for (16,)" in found.stdout
    assert not (tmp_path / "dst.pth").exists()


def test_partial_conversion_lists_what_is_left(timm_state, tmp_path, capsys):
    state = {key: value for key, value in timm_state.items() if not key.startswith("blocks.5")}
    torch.save(state | {"extra.weight": torch.zeros(1)}, tmp_path / "src.pth")
    arguments = (tmp_path / "src.pth", tmp_path / "dst.pth", *TO_MIXNET)
    with pytest.raises(InputError, match="nothing written"):
        tool("convert_weights")(*arguments)
    tool("convert_weights")(*arguments, "--allow-partial")
    said = capsys.readouterr().out
    assert "missing: blocks.5.0.bn1.weight" in said and "not of this model: extra.weight" in said
    found, _ = files.read(str(tmp_path / "dst.pth"))
    assert 0 < len(found) < len(convert(timm_state, "timm", "mixnet_s"))


def test_other_class_counts_are_named():
    state = golden.state_dict("torchvision_ssdlite320_mobilenet_v3_large")
    key = "head.classification_head.module_list.0.1.weight"
    state[key] = state[key][:30]
    with pytest.raises(InputError, match="30 class outputs are not a multiple of 91 slots"):
        convert(state, "torchvision", "ssdlite320_mobilenet_v3_large")


@pytest.mark.parametrize(
    ("source", "model", "key"),
    [
        ("mmdet", "ssdlite_mobilenetv2", "bbox_head.cls_convs.0.1.bias"),
        ("torchvision", "lraspp_mobilenet_v3_large", "classifier.high_classifier.bias"),
    ],
)
def test_heads_of_whole_models_are_complete_and_of_their_classes(source, model, key):
    theirs = {
        f"{module}.{leaf}": torch.zeros(rule.outputs) if rule.outputs else torch.zeros(1)
        for rule in catalogue.find(source, model).rules(catalogue.find(source, model).table)
        for module in rule.theirs
        for leaf in rule.leaves
    }
    faults = plan({name: theirs[name] for name in theirs if name != key}, source, model)
    assert faults.missing == [key] and not faults.left_over
    faults = plan(theirs | {key: theirs[key][:20]}, source, model)
    assert any("(20,) for" in fault for fault in faults.misshapen)


def test_only_backbones_with_a_classifier_give_one():
    for source, model in (("torchvision", "lraspp_mobilenet_v3_large"), ("mmseg", "mobilenet_v2")):
        with pytest.raises(InputError, match="its classifier is not converted"):
            convert({}, source, model, classifier=True)


def test_another_width_does_not_go_back():
    state = MobileNetV2(width=0.75, out_taps=("last",)).state_dict()
    with pytest.raises(InputError, match=r"keys of another shape, first 'stem.conv.weight \(24, 3"):
        revert(state, "timm", "mobilenetv2_100")


def test_what_came_from_another_model_does_not_go_back(ours, tmp_path):
    files.write(str(tmp_path / "ours.pth"), ours, catalogue.metadata("timm", "tf_mixnet_s"))
    with pytest.raises(InputError, match="came from timm tf_mixnet_s, not timm mixnet_s"):
        tool("convert_weights")(
            tmp_path / "ours.pth", tmp_path / "dst.pth", *TO_MIXNET, "--reverse"
        )


def test_keys_beside_a_backbone_are_counted():
    state = MobileNetV2(out_taps=("c5",)).state_dict()
    theirs = revert(state, "mmseg", "mobilenet_v2") | {"decode_head.x": torch.zeros(1)}
    found = plan(theirs, "mmseg", "mobilenet_v2")
    assert found.outside == ["decode_head.x"] and not found.faults


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a.pth", "b.onnx", *TO_MIXNET), "b.onnx: must end in .pth or .safetensors"),
        (("a.pth", "b.pth", "--source", "keras", "--model", "x"), "source 'keras': must be one"),
        (("a.pth", "b.pth", "--source", "timm", "--model", "x"), "model 'x': must be one of mix"),
        (("a.pth", "b.pth", *TO_MIXNET, "--reverse", "--classifier"), "--reverse goes without"),
        (("timm://tf_mixnet_s", "b.pth", *TO_MIXNET), "timm://tf_mixnet_s: is not timm mixnet_s"),
    ],
)
def test_bad_arguments_are_named(tmp_path, arguments, message):
    with pytest.raises(InputError, match=message):
        tool("convert_weights")(*arguments)


def test_a_place_that_cannot_be_written_is_named(timm_state, tmp_path):
    torch.save(timm_state, tmp_path / "src.pth")
    with pytest.raises(InputError, match="cannot be written"):
        tool("convert_weights")(tmp_path / "src.pth", tmp_path / "src.pth" / "dst.pth", *TO_MIXNET)


# ----------------------------------------------------------------- in configs


def initialised(checkpoint):
    init_default_scope("mmdet")
    init = dict(type="Pretrained", checkpoint=str(checkpoint))
    backbone = MODELS.build(dict(type="mixnet_dense.MixNet", arch="s", init_cfg=init))
    backbone.init_weights()
    return backbone.state_dict()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_converted_files_begin_a_training(ours, tmp_path, suffix):
    files.write(str(tmp_path / f"w{suffix}"), ours, catalogue.metadata("timm", "mixnet_s"))
    assert same(initialised(tmp_path / f"w{suffix}"), ours)


def fake(monkeypatch, name, attribute):
    module = types.ModuleType(name)
    vars(module).update(attribute)
    monkeypatch.setitem(sys.modules, name, module)


def test_timm_weights_begin_a_training(monkeypatch, timm_state, ours):
    def create_model(name, pretrained):
        assert (name, pretrained) == ("mixnet_s", True)
        return types.SimpleNamespace(state_dict=lambda: timm_state)

    fake(monkeypatch, "timm", dict(create_model=create_model))
    assert same(initialised("timm://mixnet_s"), ours)


def test_a_librarys_cache_cannot_run_code(monkeypatch, tmp_path):
    bad_pickle(tmp_path)

    def create_model(name, pretrained):
        return torch.load(tmp_path / "src.pth", weights_only=False)

    fake(monkeypatch, "timm", dict(create_model=create_model))
    with pytest.raises(InputError, match="could run code"):
        hub.fetch("timm://mixnet_s")
    assert not (tmp_path / "created").exists()


def test_torchvision_weights_begin_a_training(monkeypatch):
    torch.manual_seed(0)
    backbone = MobileNetV2(out_taps=("last",))
    theirs = revert(backbone.state_dict(), "torchvision", "mobilenet_v2")
    model = types.SimpleNamespace(state_dict=lambda: theirs)
    models = types.SimpleNamespace(mobilenet_v2=lambda weights: model)
    fake(monkeypatch, "torchvision", dict(models=models))
    init = dict(type="Pretrained", checkpoint="tv://mobilenet_v2")
    found = MobileNetV2(out_taps=("last",), init_cfg=init)
    found.init_weights()
    assert same(found.state_dict(), backbone.state_dict())


def test_without_timm_or_network_one_line_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(InputError, match="timm://mixnet_s: needs timm .*pip install timm"):
        initialised("timm://mixnet_s")

    def offline(name, pretrained):
        raise OSError("no route to host\nand more")

    fake(monkeypatch, "timm", dict(create_model=offline))
    with pytest.raises(InputError, match="timm could not give its weights: no route to host$"):
        initialised("timm://mixnet_s")
    with pytest.raises(InputError, match="model 'resnet18': must be one of"):
        initialised("timm://resnet18")
    with pytest.raises(InputError, match="absent.pth': no such file"):
        initialised("absent.pth")


def test_training_says_what_pretrained_weights_assume(tmp_path, ours):
    logger = MMLogger.get_instance("assumes")
    said = []
    logger.warning = said.append
    config = Config.fromfile(ROOT / "configs/ssdlite_mixnet_pretrained.py")
    warn_pretrained(config, logger)
    assert said == []
    config.model.backbone.padding = "same"
    warn_pretrained(config, logger)
    assert said == ["timm mixnet_s: backbone.padding is same, the weights assume symmetric"]
    path = str(tmp_path / "w.safetensors")
    files.write(path, ours, catalogue.metadata("timm", "tf_mixnet_s"))
    config.model.backbone.init_cfg.checkpoint = path
    config.model.backbone.norm_cfg.eps = 1e-3
    warn_pretrained(config, logger)
    assert len(said) == 1
    config.load_from, config.model.backbone.norm_cfg.eps = path, 1e-5
    warn_pretrained(config, logger)
    assert said[1:] == [
        "timm tf_mixnet_s: backbone.norm_cfg.eps is 1e-05, the weights assume 0.001"
    ]
    config.load_from = None
    with pytest.raises(InputError, match="no such file"):
        config.model.backbone.init_cfg.checkpoint = "absent.pth"
        warn_pretrained(config, logger)
