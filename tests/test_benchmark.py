"""tools/benchmark.py runs everything it names; what it computes from times is right.

Nothing here looks at a speed.
"""

import json
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from running import tool

from mixnet_dense.backbones.algorithms import ALGORITHMS
from mixnet_dense.backbones.blocks import ConvNormAct
from mixnet_dense.benchmark import layers, pipeline
from mixnet_dense.benchmark.others import others
from mixnet_dense.benchmark.presentation import instructions, machine, table
from mixnet_dense.benchmark.subjects import annotations, build, passes, reference, runners
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


def test_instruction_set_and_its_limits_are_said(monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    monkeypatch.delenv("ATEN_CPU_CAPABILITY", raising=False)
    assert instructions() == machine("cpu", 1)["instructions"] == "AVX512"
    assert machine("cpu", 1)["ONEDNN_MAX_CPU_ISA"] is None
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert instructions() == "AVX512 (oneDNN AVX2)"
    assert machine("cpu", 1)["ONEDNN_MAX_CPU_ISA"] == "AVX2"


def test_variants_compute_the_same():
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    found = {variant: run() for variant, run in runners("mixnet_s", "inference", images)}
    assert list(found) == ["reference", "model", "fused"]
    for outputs in found.values():
        for one, other in zip(outputs, found["reference"], strict=True):
            assert (one - other).abs().max() <= 1e-3 * other.abs().max()


def test_training_step_passes_backward_and_leaves_no_gradients(monkeypatch):
    seen = []
    model = build("mobilenetv3_small")
    for parameter in model.parameters():
        parameter.register_hook(lambda grad: seen.append(grad.abs().sum().item()))
    monkeypatch.setattr("mixnet_dense.benchmark.subjects.build", lambda name: model)
    step = dict(runners("any", "train", torch.randn(2, 3, 64, 64)))["model"]
    step()
    assert len(seen) == len(list(model.parameters())) and any(seen)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_made_up_boxes_lie_in_the_image():
    model = build("configs/ssdlite_mobilenetv3_small.py")
    samples = annotations(model, torch.zeros(3, 3, 100, 200))
    boxes = torch.stack([sample.gt_instances.bboxes for sample in samples])
    assert boxes.shape == (3, 8, 4) and boxes.min() >= 0
    assert boxes[..., 0::2].max() <= 200 and boxes[..., 1::2].max() <= 100
    sides = (boxes[..., 2:] - boxes[..., :2]) / torch.tensor([200, 100])
    assert 0.0499 < sides.min() < 0.1 and 0.5 < sides.max() < 0.6001


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
    variants = [(row["mode"], row["variant"]) for row in found]
    modes = dict(inference=["reference", "model", "fused"], train=["reference", "model"])
    assert variants == [(mode, variant) for mode in modes for variant in modes[mode]]


class TwoImages:
    """A dataset whose second image is dropped by its first transform."""

    def __init__(self):
        self.pipeline = SimpleNamespace(transforms=[self.load, self.flip])

    def __len__(self):
        return 2

    def get_data_info(self, index):
        return index

    def load(self, index):
        return None if index == 1 else index

    def flip(self, index):
        return index


def test_times_of_a_pipeline_worked_by_hand(monkeypatch):
    loader = SimpleNamespace(dataset=TwoImages())
    monkeypatch.setattr(pipeline, "check_files", lambda *_: None)
    monkeypatch.setattr(pipeline.Runner, "build_dataloader", lambda _: loader)
    # three images, the third is the first again: load 1, 7 and 3 ms; flip 2 and 4 ms
    ticks = iter([0.0, 0.001, 0.003, 1.0, 1.007, 2.0, 2.003, 2.007])
    clock = SimpleNamespace(perf_counter=lambda: next(ticks))
    monkeypatch.setattr(pipeline, "time", clock)
    whole, load, flip = pipeline.time_pipeline(Config(dict(train_dataloader={})), 3)
    assert (load["step"], flip["step"]) == ("method", "method")
    assert [load[key] for key in ("mean", "median")] == pytest.approx([11 / 3, 3])
    assert [flip[key] for key in ("mean", "median", "p90")] == pytest.approx([3, 3, 3.8])
    assert [whole[key] for key in ("mean", "median")] == pytest.approx([17 / 3, 7])
    text = pipeline.table([whole, load, flip])
    assert "| pipeline | 5.67 | 7.00 | 7.00 |" in text
    assert text.endswith("\n\n176 images/s for each worker")


def test_reference_is_the_plain_algorithm():
    model = reference(build("mixnet_s"))
    outputs = model(torch.zeros(2, 3, 64, 64))
    assert all(output.is_contiguous() for output in outputs)
    assert {m.algorithm for m in model.modules() if hasattr(m, "algorithm")} == {"split"}
    blocks = [m for m in model.modules() if isinstance(m, ConvNormAct)]
    assert {m.act.inplace for m in blocks if hasattr(m.act, "inplace")} == {True}


@pytest.mark.parametrize("train", [False, True])
def test_every_algorithm_of_every_layer_with_groups_is_timed(train):
    found = {}
    for layer, algorithm, function in layers.runners("mixnet_s", torch.zeros(1, 3, 32, 32), train):
        found.setdefault(layer, {})[algorithm] = function
    assert list(found["mixnet_s 16 x 16 x 16; 1x1 to 96, 2 groups"]) == ["reference", *ALGORITHMS]
    mixed = found["mixnet_s 144 x 8 x 8; kernels 3 5 7, stride 2"]
    assert list(mixed) == ["reference", "split", "contiguous", "merged"]
    # a map; or the gradients of the map and of three groups' weights
    shapes = [list(each.shape) for each in mixed["merged"]()] if train else mixed["merged"]().shape
    kernels = [[48, 1, size, size] for size in (3, 5, 7)]
    assert shapes == ([[1, 144, 8, 8], *kernels] if train else (1, 144, 4, 4))


def test_table_says_what_was_measured():
    row = dict(
        model="m", variant="v", mode="train", instructions="AVX2", batch=8, size=[320, 160],
        median_ms=1.25, p90_ms=2.0, ratio=1.5, images_per_s=6400.0, peak_mib=3.0,
    )  # fmt: skip
    expected = "| m | v | train | AVX2 | 8 | 320 x 160 | 1.2 | 2.0 | 1.50 | 6400.0 | 3 |"
    assert table([row]).splitlines()[-1] == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["resnet50"], "'resnet50': must be a config or one of mixnet_s"),
        (["absent.py"], "'absent.py': must be a config or one of"),
        (["mixnet_s", "--size", "big"], "--size big: must be pixels"),
        (["mixnet_s", "--size", "64x0"], "--size 64x0: must be pixels"),
        (["mixnet_s", "--batch", "0"], "must be 1 or more"),
        (["configs/lraspp_mixnet.py", "--mode", "data", "train"], "--mode data goes alone"),
        (["configs/ssdlite_mixnet.py", "--mode", "data"], "annotations.*not there"),
        (["mixnet_s", "--mode", "data"], "config 'mixnet_s': neither a file nor one of"),
        (["mixnet_s", "--cfg-options", "a=1"], "--cfg-options: are for --mode data"),
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
    for folder in ("images", "annotations"):
        (tmp_path / folder).mkdir()
    cv2.imwrite(str(tmp_path / "images" / "a.png"), np.full((50, 70, 3), 90, np.uint8))
    images = [dict(id=1, file_name="a.png", height=50, width=70)]
    categories = [dict(id=1, name="cat")]
    (tmp_path / "annotations" / "test.json").write_text(
        json.dumps(dict(images=images, annotations=[], categories=categories))
    )
    data = dict(
        data_root=f"{tmp_path}/",
        ann_file="annotations/test.json",
        data_prefix=dict(img="images/"),
        metainfo=dict(classes=("cat",)),
    )
    base = Path(__file__).parents[1] / "configs" / "ssdlite_mobilenetv3_small.py"
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
    with pytest.raises(InputError, match="own.pt: is for another size than 320 x 320"):
        rows(capsys, *arguments, "--size", "320")
    (tmp_path / "annotations" / "test.json").unlink()
    with pytest.raises(InputError, match="test.json: not there"):
        rows(capsys, *arguments)


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


def test_other_libraries_run_beside_ours_and_missing_ones_are_named(monkeypatch, capsys):
    class Twin(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 4, 3, stride=8)

        def forward(self, images):
            return [self.conv(images)]

    def missing():
        raise ImportError("No module named 'absent'")

    twins = {"mobilenetv1": ("twin", Twin), "mobilenetv2": ("absent", missing)}
    monkeypatch.setattr("mixnet_dense.benchmark.others._OTHERS", twins)
    names = ("mobilenetv1", "mobilenetv2", "mnasnet_a1")
    arguments = (*names, "--size", "32", "--mode", "train", "--compare")
    tool("benchmark")(*arguments, "--repeats", "1", "--json")
    printed = capsys.readouterr()
    found = [(row["model"], row["variant"]) for row in json.loads(printed.out)["rows"]]
    assert [pair for pair in found if pair[1] not in ("reference", "model")] == [
        ("mobilenetv1", "twin")
    ]
    assert "absent left out: No module named 'absent'" in printed.err
    assert "no other library has mnasnet_a1" in printed.err


def test_mmdets_detector_is_a_subject_where_mmdet_brings_its_configs():
    try:
        ((library, model),) = others("configs/ssdlite_mobilenetv2_mmdet.py")
    except ValueError:  # a build of mmdet without configs, which others() has printed
        return
    images = torch.zeros(2, 3, 64, 64)
    assert library == "mmdet"
    assert len(passes(model.eval(), images, amp=False)()) == 2
    passes(model.train(), images, amp=False)()
