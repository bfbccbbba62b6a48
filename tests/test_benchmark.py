"""tools/benchmark.py runs everything it names; what it computes from times is right.

Nothing here looks at a speed.
"""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from running import tool

from mixnet_dense.benchmark.presentation import instructions, table
from mixnet_dense.benchmark.subjects import build, reference
from mixnet_dense.errors import InputError
from mixnet_dense.timing import Times, interleave, peak_memory, summary


def rows(capsys, *arguments):
    tool("benchmark")(*arguments, "--repeats", "1", "--json")
    content = json.loads(capsys.readouterr().out)
    assert content["machine"]["torch"] == torch.__version__
    return content["rows"]


def test_median_and_ninetieth_percentile():
    # nine tenths of the way from the smallest to the largest of eleven, or of two
    assert summary([10.0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 30]) == Times(5.0, 10.0)
    assert summary([2.0, 1.0]) == Times(1.5, 1.9)
    assert summary([7.0]) == Times(7.0, 7.0)


def test_functions_take_turns():
    calls = []
    functions = {name: lambda name=name: calls.append(name) for name in "ab"}
    assert set(interleave(functions, 2)) == {"a", "b"}
    assert "".join(calls) == "aaabbb" + 2 * "aabb"


def test_peak_memory_of_two_maps_at_a_time():
    def function():
        first = torch.zeros(250_000)  # 1 MB
        second = first + 1
        del first
        return second * 2

    assert 2_000_000 <= peak_memory(function) < 2_100_000


def test_networks_in_both_modes(capsys, tmp_path):
    picture = tmp_path / "plots" / "times.png"
    found = rows(
        capsys, "mixnet_s", "mobilenetv1", "--mode", "inference", "train",
        "--size", "64", "32x48", "--batch", "2", "--plot", picture,
    )  # fmt: skip
    variants = {(row["model"], row["mode"], row["variant"]) for row in found}
    assert len(found) == 2 * len(variants) == 2 * (2 * 3 + 2 * 2)
    assert {tuple(row["size"]) for row in found} == {(64, 64), (32, 48)}
    for row in found:
        assert row["images_per_s"] == pytest.approx(2000 / row["median_ms"])
        assert row["peak_mib"] > 0
        assert row["variant"] != "reference" or row["ratio"] == 1
    assert picture.stat().st_size > 5000


@pytest.mark.parametrize("config", ["ssdlite_mixnet", "lraspp_mobilenetv3_small"])
def test_whole_models(capsys, config):
    arguments = ("--mode", "inference", "train", "--size", "96", "--amp")
    found = rows(capsys, f"configs/{config}.py", *arguments)
    assert len(found) == 5


def test_losses_beside_mmdets(capsys):
    found = rows(capsys, "configs/ssdlite_mixnet.py", "--mode", "loss", "--batch", "2")
    assert [row["variant"] for row in found] == ["reference", "model"]


def test_reference_is_the_plain_algorithm():
    model = reference(build("mixnet_s"))
    outputs = model(torch.zeros(2, 3, 64, 64))
    assert all(output.is_contiguous() for output in outputs)
    assert {m.algorithm for m in model.modules() if hasattr(m, "algorithm")} == {"split"}


def test_table_says_what_was_measured():
    row = dict(model="m", variant="v", mode="train", instructions="AVX2", batch=8, size=[320, 160], median_ms=1.25,
               p90_ms=2.0, ratio=1.5, images_per_s=6400.0, peak_mib=3.0)  # fmt: skip
    assert "| m | v | train | AVX2 | 8 | 320 x 160 | 1.2 | 2.0 | 1.50 | 6400.0 | 3 |" in table(
        [row]
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["resnet50"], "'resnet50': must be a config file or one of mixnet_s"),
        (["absent.py"], "config 'absent.py': no such file"),
        (["mixnet_s", "--size", "big"], "--size big: must be pixels"),
        (["mixnet_s", "--batch", "0"], "must be 1 or more"),
        (["mixnet_s", "--mode", "loss"], "--mode loss is for configs of SSDLite detectors"),
        (["configs/lraspp_mixnet.py", "--mode", "data", "train"], "--mode data goes alone"),
        (["configs/ssdlite_mixnet.py", "--mode", "data"], "annotations.*not there"),
        (["mixnet_s", "--mode", "data"], "config 'mixnet_s': no such file"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(InputError, match=message):
        tool("benchmark")(*arguments)


def test_a_gpu_that_is_not_there_is_said():
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(InputError, match="torch sees no GPU here"):
        tool("benchmark")("mixnet_s", "--device", "cuda")


def test_exported_files_beside_eager_models(capsys):
    arguments = ("--size", "64", "--formats", "torchscript")
    found = rows(capsys, "configs/lraspp_mobilenetv3_small.py", *arguments)
    assert [row["variant"] for row in found] == ["reference", "model", "fused", "torchscript"]
    assert found[-1]["peak_mib"] is None
    assert table(found).splitlines()[-1].endswith("|  |")


def test_from_an_image_to_boxes(capsys, tmp_path):
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images" / "a.png"), np.full((50, 70, 3), 90, np.uint8))
    base = Path(__file__).parents[1] / "configs" / "ssdlite_mobilenetv3_small.py"
    data = dict(data_root=f"{tmp_path}/", data_prefix=dict(img="images/"))
    config = tmp_path / "config.py"
    config.write_text(f"_base_ = {str(base)!r}\ntest_dataloader = dict(dataset={data!r})\n")
    model = build(str(base))
    meta = dict(dataset_meta=dict(classes=[str(index) for index in range(80)]))
    torch.save(dict(state_dict=model.state_dict(), meta=meta), tmp_path / "w.pth")
    file = str(tmp_path / "own.pt")
    tool("export")(
        config, tmp_path / "w.pth", "--format", "torchscript", "--out", file, "--size", "64", "64"
    )
    capsys.readouterr()
    arguments = [config, "--mode", "predict", "--checkpoint", tmp_path / "w.pth", "--files", file]
    found = rows(
        capsys, *arguments, "--size", "64", "--batch", "2", "--formats", "torchscript"
    )  # fmt: skip
    variants = ["reference", "model", "fused", "torchscript", file]
    assert [row["variant"] for row in found] == variants
    with pytest.raises(InputError, match="own.pt: is for another size than 96 x 96"):
        rows(capsys, *arguments, "--size", "96")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mixnet_s", "--formats", "torchscript"], "'mixnet_s' is none"),
        (["a.py", "--formats", "coreml"], "--formats coreml: must be some of onnx, openvino, t"),
        (["a.py", "--mode", "predict"], "--mode predict and --checkpoint go together"),
        (["a.py", "--formats", "onnx", "--device", "cuda"], "timed on the CPU only"),
        (["a.py", "--files", "b.onnx"], "--files: are for --mode predict"),
        (["a.py", "b.py", "--mode", "predict", "--checkpoint", "c"], "with one config"),
    ],
)
def test_bad_formats_are_named(arguments, message):
    with pytest.raises(InputError, match=message):
        tool("benchmark")(*arguments)
