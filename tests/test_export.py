"""Exported files compute what PyTorch computes, say what they are, or are not written.

Those of the marker ``export`` need the runtimes and are run by ``make test-export``.
"""

import copy
import dataclasses
import errno
import json
from pathlib import Path

import cv2
import golden
import numpy as np
import pytest
import torch
from exporting import DETECTOR, SEGMENTER, export, images
from mmengine.config import Config
from running import tool

from mixnet_dense.backbones import MixNet
from mixnet_dense.errors import InputError
from mixnet_dense.export import fuse, load, suppression
from mixnet_dense.export.description import describe
from mixnet_dense.export.formats import FORMATS, format_of
from mixnet_dense.export.graph import _apart
from mixnet_dense.export.sessions import Session
from mixnet_dense.export.verification import suppression_difference
from mixnet_dense.weights.load import load_model

runtimes = pytest.mark.export


@pytest.mark.parametrize(
    ("name", "size", "arguments"),
    [
        ("raw.pt", (96, 96), ["--batch", "2"]),
        pytest.param("raw.onnx", (320, 320), ["--dynamic"], marks=runtimes),
        pytest.param("whole.xml", (96, 96), ["--end-to-end", "--preprocess"], marks=runtimes),
        pytest.param("whole.onnx", (96, 128), ["--end-to-end", "--batch", "2"], marks=runtimes),
        pytest.param("raw.tflite", (96, 128), ["--preprocess", "--batch", "2"], marks=runtimes),
        pytest.param("raw.ncnn.param", (96, 128), ["--preprocess"], marks=runtimes),
    ],
)
def test_detectors(files, tmp_path, capsys, name, size, arguments):
    path = tmp_path / name
    export(files, "detector", path, "--size", *size, *arguments)
    assert f"{path}: written, at most" in capsys.readouterr().out
    assert {*tmp_path.iterdir()} == {*FORMATS[format_of(name)].files(str(path))}
    predictor, pictures = load(str(path)), images(files)
    assert predictor.about.classes[3] == "class 3"
    config = Config.fromfile(DETECTOR)
    config.test_dataloader.dataset.pipeline[1].scale = size[::-1]
    expected = load(str(files / "detector.pth"), config)(pictures)
    for found, wanted in zip(predictor(pictures), expected, strict=True):
        assert len(found) == len(wanted) == 100
        assert golden.relative_error(found.scores, wanted.scores) < 1e-3
        # scores that are nearly equal may come in another order
        apart = (found.bboxes[:, None] - wanted.bboxes).abs().amax(-1)
        same = (apart < 0.1) & (found.labels[:, None] == wanted.labels)
        assert float(same.any(0).float().mean()) > 0.95
    one = predictor(pictures[0])
    assert len(one) == 100


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("whole.pt", ["--end-to-end", "--preprocess", "--size", "96", "128"]),
        pytest.param("raw.xml", ["--size", "96", "128"], marks=runtimes),
        pytest.param("whole.onnx", ["--end-to-end", "--size", "96", "128"], marks=runtimes),
        pytest.param("whole.tflite", ["--end-to-end", "--size", "96", "128"], marks=runtimes),
        pytest.param("raw.ncnn.param", ["--size", "96", "128"], marks=runtimes),
    ],
)
def test_segmenters(files, tmp_path, name, arguments):
    path = tmp_path / name
    export(files, "segmenter", path, *arguments)
    pictures = [cv2.resize(picture, (128, 96)) for picture in images(files)]
    expected = load(str(files / "segmenter.pth"), Config.fromfile(SEGMENTER))(pictures)
    for found, wanted in zip(load(str(path))(pictures), expected, strict=True):
        assert found.dtype == torch.uint8 and found.shape == wanted.shape == (96, 128)
        assert float((found == wanted).float().mean()) > 0.99
    other = load(str(path))(images(files)[1])
    assert other.shape == (128, 100)


@runtimes
@pytest.mark.parametrize("size", [(96, 128), (256, 256)])  # which is traced
@pytest.mark.parametrize("suffix", [".onnx", ".xml"])
def test_segmenters_of_any_size(files, tmp_path, suffix, size):
    """Maps smaller than the pooling's window, and one of several windows."""
    path = tmp_path / f"any{suffix}"
    export(files, "segmenter", path, "--dynamic", "--size", *map(str, size))
    pictures = [*images(files), cv2.resize(images(files)[0], (1200, 900))]
    expected = load(str(files / "segmenter.pth"), Config.fromfile(SEGMENTER))(pictures)
    for found, wanted in zip(load(str(path))(pictures), expected, strict=True):
        assert found.shape == wanted.shape
        assert float((found == wanted).float().mean()) > 0.99


@runtimes
def test_metadata_is_in_the_file(files, tmp_path):
    export(files, "segmenter", tmp_path / "a.onnx", "--size", "64", "96")
    about = Session(str(tmp_path / "a.onnx")).about
    assert (about.batch, about.height, about.width) == (1, 64, 96)
    assert about.task == "segmentation" and about.config == "lraspp_mobilenetv3_small.py"
    assert about.mean == pytest.approx([123.675, 116.28, 103.53], abs=1e-3)
    import onnx  # loads slowly

    proto = onnx.load(tmp_path / "a.onnx")
    assert b".py" not in proto.graph.SerializeToString()  # where it was made is nobody's business
    entries = {p.key: p.value for p in proto.metadata_props}
    assert entries["labels"].startswith("class 0,class 1")
    assert json.loads(entries["mixnet_dense"])["model"]["type"] == "mixnet_dense.MobileSegmentor"


@pytest.mark.parametrize("factor", [1.1, float("nan")])
def test_a_difference_leaves_no_file(files, tmp_path, monkeypatch, factor):
    """The file is of a graph with other weights than the model's."""

    def spoilt(graph, sample, path):
        other = copy.deepcopy(graph)
        other.model.backbone.stem.conv.weight[:, 0] *= factor
        original.trace(other, sample, path)

    original = FORMATS["torchscript"]
    monkeypatch.setitem(FORMATS, "torchscript", dataclasses.replace(original, trace=spoilt))
    with pytest.raises(InputError, match="not written: '.*' differs from PyTorch's by"):
        export(files, "detector", tmp_path / "a.pt", "--size", "64", "64")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (256, "not written: 'logits' differs from PyTorch's by"),
        (832, "--dynamic: the file fails with images of 129 x 97"),
    ],
)
def test_a_file_for_any_size_that_is_for_one_is_not_kept(files, tmp_path, size, message):
    """TorchScript's pooling has the windows of the size it was traced with."""
    with pytest.raises(InputError, match=message):
        export(files, "segmenter", tmp_path / "a.pt", "--dynamic", "--size", size, size)
    assert not list(tmp_path.iterdir())


def config_of_images(files, name: str) -> str:
    """A config like another whose images are those of ``files``, with one object."""
    root = Path(__file__).parents[1]
    images = [
        dict(id=index, file_name=path.name, height=64, width=64)
        for index, path in enumerate(sorted((files / "images").iterdir()))
    ]
    categories = [dict(id=index, name=f"class {index}") for index in range(80)]
    box = dict(id=1, image_id=0, category_id=0, bbox=[8, 8, 40, 40], area=1600, iscrowd=0)
    content = dict(images=images, categories=categories, annotations=[box])
    (files / "one.json").write_text(json.dumps(content))
    data = dict(data_root=f"{files}/", ann_file="one.json", data_prefix=dict(img="images/"))
    names = dict(classes=[category["name"] for category in categories])
    loader = dict(num_workers=0, persistent_workers=False, dataset=dict(**data, metainfo=names))
    (files / "config.py").write_text(
        f"_base_ = {str(root / name)!r}\n"
        f"train_dataloader = val_dataloader = test_dataloader = {loader!r}\n"
    )
    return str(files / "config.py")


def test_no_weight_of_a_graph_is_split():
    """NNCF fails at a convolution whose weight is part of another."""
    backbone, image = fuse(MixNet("s", channels_last=False)), torch.rand(1, 3, 64, 64)

    def readers(module):
        graph = torch.export.export(module, (image,)).graph
        weights = [node for node in graph.nodes if node.op == "placeholder"]
        return {str(user.target) for weight in weights for user in weight.users}

    expected, before = backbone(image), readers(backbone)
    apart = _apart(backbone)
    after = readers(apart)
    assert before - after == {"aten.chunk.default"}
    for found, wanted in zip(apart(image), expected, strict=True):
        torch.testing.assert_close(found, wanted)


@runtimes
def test_int8_weights_and_float_suppression(files, tmp_path, capsys):
    """Smaller, measured, and its boxes still those that its scores and deltas say."""
    import onnx

    config, out = config_of_images(files, DETECTOR), tmp_path / "small.onnx"
    export(files, "detector", out, "--end-to-end", "--int8", config)
    with pytest.raises(InputError, match="resizes them, to 320 x 320, --size is 96 x 96"):
        export(files, "detector", tmp_path / "b.onnx", "--int8", config, "--size", "96", "96")
    said = capsys.readouterr().out
    assert "coco/bbox_mAP: float32" in said and f"{out}: written, int8" in said
    assert list(tmp_path.iterdir()) == [out]
    proto = onnx.load(out)
    weights = {each.name: each for each in proto.graph.initializer}
    kernels = [each for each in weights.values() if each.data_type == onnx.TensorProto.INT8]
    assert sum(np.prod(each.dims) for each in kernels) > 1_000_000
    per_channel = [
        node.input[1] for node in proto.graph.node
        if node.op_type == "DequantizeLinear" and weights.get(node.input[0]) in kernels
    ]  # fmt: skip
    assert all(np.prod(weights[scale].dims) > 1 for scale in per_channel) and per_channel
    order = [node.op_type for node in proto.graph.node]
    last = len(order) - 1 - order[::-1].index("Conv")
    assert "QuantizeLinear" not in order[last:]
    found = load(str(out))(images(files)[0])
    assert len(found) == 100 and bool(found.bboxes.isfinite().all())
    # nothing of the process still refers to the folder that all was measured in
    tool("test")(config, out, "--work-dir", tmp_path / "again", "--out", tmp_path / "again.json")
    assert "coco/bbox_mAP" in json.loads((tmp_path / "again.json").read_text())["metrics"]


@pytest.mark.parametrize(
    ("kind", "name", "arguments", "message"),
    [
        ("segmenter", "a.pt", [], "--size: is needed"),
        ("detector", "a.pt", ["--end-to-end"], "--end-to-end: torchscript cannot have det"),
        ("detector", "a.pt", ["--batch", "0"], "--batch 0: must be 1 or more"),
        ("detector", "a.pt", ["--size", "8", "96"], "--size 8 96: must be 64 or more"),
        (
            "detector",
            "a.pt",
            ["--int8", DETECTOR],
            "--int8: torchscript cannot have int8",
        ),
    ],
)
def test_bad_requests_are_one_line(files, tmp_path, kind, name, arguments, message):
    with pytest.raises(InputError, match=message):
        export(files, kind, tmp_path / name, *arguments)
    assert not list(tmp_path.iterdir())


def test_formats_checkpoints_and_packages_are_checked(files, tmp_path, monkeypatch):
    out = str(tmp_path / "a.pt")
    arguments = [DETECTOR, files / "detector.pth", "--out", out, "--images", files / "images"]
    with pytest.raises(InputError, match="--format coreml: must be one of onnx, openvino, torch"):
        tool("export")(*arguments, "--format", "coreml")
    with pytest.raises(InputError, match="must end in .xml for openvino"):
        tool("export")(*arguments, "--format", "openvino")
    arguments[1] = files / "segmenter.pth"
    with pytest.raises(InputError, match="is of another model"):
        tool("export")(*arguments, "--format", "torchscript")
    arguments[3] = "/dev/null/a.pt"
    with pytest.raises(InputError, match="/dev/null/a.pt: cannot be written"):
        tool("export")(*arguments, "--format", "torchscript")
    arguments[3] = str(tmp_path / "a.onnx")
    monkeypatch.setattr("mixnet_dense.export.formats.find_spec", lambda name: None)
    with pytest.raises(InputError, match="not installed: pip install onnx onnxscript onnxruntime$"):
        tool("export")(*arguments, "--format", "onnx")
    with pytest.raises(InputError, match="a.onnx': no such file"):
        load(str(tmp_path / "a.onnx"))
    (tmp_path / "a.onnx").write_text("")
    with pytest.raises(InputError, match="a.onnx': packages .* pip install onnxruntime$"):
        load(str(tmp_path / "a.onnx"))


def test_a_full_disk_is_one_line_and_leaves_nothing(files, tmp_path, monkeypatch):
    def full(*_arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(InputError, match="a.pt: cannot be written: No space left on device$"):
        export(files, "segmenter", tmp_path / "a.pt", "--size", 64, 64)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "name",
    [
        "a.pt",
        *(pytest.param(f"a{s}", marks=runtimes) for s in (".onnx", ".xml", ".tflite")),
        pytest.param("a.ncnn.param", marks=runtimes),
    ],
)
def test_broken_files_are_named(tmp_path, name):
    path = tmp_path / name
    for content in ("", "not a model\n"):
        for file in FORMATS[format_of(name)].files(str(path)):
            file.write_text(content)
        with pytest.raises(InputError, match=f"{name}': cannot be read as {format_of(name)}: ."):
            Session(str(path))
    for companion in FORMATS[format_of(name)].files(str(path))[1:]:
        companion.unlink()
        with pytest.raises(InputError, match=f"{companion.name}': no such file"):
            Session(str(path))
        companion.write_text("")


def test_errors_of_programs_are_not_broken_files(tmp_path, monkeypatch):
    (tmp_path / "a.pt").write_text("")

    def wrong(*arguments, **options):
        raise TypeError("of a program")

    monkeypatch.setattr(torch.jit, "load", wrong)
    with pytest.raises(TypeError, match="of a program"):
        Session(str(tmp_path / "a.pt"))


def test_files_that_are_no_exports_are_named(files, tmp_path):
    with pytest.raises(InputError, match="absent.xml': no such file"):
        load(str(tmp_path / "absent.xml"))
    with pytest.raises(InputError, match="a checkpoint needs its config"):
        load(str(files / "detector.pth"))
    script = torch.jit.trace(torch.nn.ReLU(), torch.zeros(1))
    torch.jit.save(script, tmp_path / "other.pt")
    with pytest.raises(InputError, match="other.pt': has no metadata of mixnet_dense"):
        load(str(tmp_path / "other.pt"))


def test_suppression_keeps_the_best_of_each_class(files):
    """Three boxes; the second overlaps the first by 0.8 and has another class in part."""
    about = describe(load_model(Config.fromfile(DETECTOR), files / "detector.pth"))
    settings = dict(score_thr=0.1, nms=dict(type="nms", iou_threshold=0.6), max_per_img=2)
    about = dataclasses.replace(about, suppression=settings)
    boxes = torch.tensor([[[0.0, 0, 10, 10], [0, 0, 10, 8], [20, 20, 30, 30]]])
    scores = torch.tensor([[[0.9, 0.8, 0.05], [0.0, 0.7, 0.6]]])  # two classes
    found = dict(all_boxes=boxes, all_scores=scores)
    ((corners, confidence, labels),) = suppression.expected(found, about)
    assert corners.tolist() == [[0, 0, 10, 10], [0, 0, 10, 8]]
    np.testing.assert_allclose(confidence, [0.9, 0.7])
    assert labels.tolist() == [0, 1]

    def whole(second):
        return dict(
            boxes=np.float32([[0, 0, 10, 10], [0, 0, 10, second]]),
            scores=np.float32([0.9, 0.7]),
            labels=np.array([0, 1]),
            image=np.array([0, 0]),
        )

    def session(outputs):
        def run(images):
            return outputs

        run.about = about
        return run

    raw = session({name: value.numpy() for name, value in found.items()})
    batch = [torch.zeros(1, 3, 64, 64)]
    assert suppression_difference(raw, session(whole(8)), batch) == 0
    assert suppression_difference(raw, session(whole(9)), batch) == 0.5
