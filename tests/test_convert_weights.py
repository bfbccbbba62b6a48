"""tools/convert_weights.py and the files that it reads and writes."""

import pickle

import golden
import pytest
import safetensors.torch
import torch
from running import ROOT, one_error_line, shell, tool

from mixnet_dense import checkpoints
from mixnet_dense.backbones import MixNet, MobileNetV2
from mixnet_dense.errors import InputError
from mixnet_dense.weights import catalogue, convert, revert
from mixnet_dense.weights.conversion import _keys, plan

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
    found, meta = checkpoints.read(str(out))
    assert same(found, ours)
    assert meta["converted"] == dict(source="timm", model="mixnet_s")
    assert meta["assumes"] == catalogue.metadata("timm", "mixnet_s")["assumes"]
    text = capsys.readouterr().out
    assert f"{len(ours)} keys, from {len(timm_state) - 2} of {len(timm_state)}" in text
    MixNet("s").load_state_dict(found)


def test_safetensors_of_timm_are_read(timm_state, ours, tmp_path):
    safetensors.torch.save_file(timm_state, tmp_path / "model.safetensors")
    tool("convert_weights")(tmp_path / "model.safetensors", tmp_path / "ours.pth", *TO_MIXNET)
    assert same(checkpoints.read(str(tmp_path / "ours.pth"))[0], ours)


def test_ours_go_back(timm_state, ours, tmp_path):
    torch.save(dict(state_dict=ours), tmp_path / "ours.pth")
    out = tmp_path / "theirs.safetensors"
    tool("convert_weights")(tmp_path / "ours.pth", out, *TO_MIXNET, "--reverse")
    body = {k: v for k, v in timm_state.items() if not k.startswith("classifier.")}
    assert same(checkpoints.read(str(out))[0], body)


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
    found, _ = checkpoints.read(str(tmp_path / "dst.pth"))
    assert 0 < len(found) < len(convert(timm_state, "timm", "mixnet_s"))


def test_other_class_counts_are_named():
    state = golden.state_dict("torchvision_ssdlite320_mobilenet_v3_large")
    key = "head.classification_head.module_list.0.1.weight"
    state[key] = state[key][:30]
    fault = r"cls_convs.0.1.weight \(30, 672, 1, 1\) for \(546, 672, 1, 1\)'"
    with pytest.raises(InputError, match=f"1 keys of another shape, first 'bbox_head.{fault}"):
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
        name: torch.zeros(rule.outputs or 1)
        for _, names, rule in _keys(catalogue.find(source, model), "backbone.")
        for name in names
    }
    faults = plan({name: theirs[name] for name in theirs if name != key}, source, model)
    assert faults.missing == [key] and not faults.left_over
    faults = plan(theirs | {key: theirs[key][:20]}, source, model)
    assert any("(20,) for" in fault for fault in faults.mismatched)


def test_only_backbones_with_a_classifier_give_one():
    for source, model in (("torchvision", "lraspp_mobilenet_v3_large"), ("mmseg", "mobilenet_v2")):
        with pytest.raises(InputError, match="its classifier is not converted"):
            convert({}, source, model, classifier=True)


def test_another_width_does_not_go_back():
    state = MobileNetV2(width=0.75, out_taps=("last",)).state_dict()
    with pytest.raises(InputError, match=r"keys of another shape, first 'stem.conv.weight \(24, 3"):
        revert(state, "timm", "mobilenetv2_100")


def test_what_came_from_another_model_does_not_go_back(ours, tmp_path):
    checkpoints.write(str(tmp_path / "ours.pth"), ours, catalogue.metadata("timm", "tf_mixnet_s"))
    with pytest.raises(InputError, match="came from timm tf_mixnet_s, not timm mixnet_s"):
        tool("convert_weights")(
            tmp_path / "ours.pth", tmp_path / "dst.pth", *TO_MIXNET, "--reverse"
        )


def test_keys_outside_the_backbone_are_counted():
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
