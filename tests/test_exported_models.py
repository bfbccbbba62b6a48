"""Exported files in mmdet and mmseg, beside the checkpoints they are of; and `load`."""

import copy
import dataclasses
import inspect
import json

import cv2
import numpy as np
import pytest
import torch
from exporting import DETECTOR, SEGMENTER, export, images
from mmengine.config import Config
from running import tool

from mixnet_dense.engine.config import load_config
from mixnet_dense.errors import InputError
from mixnet_dense.export import load
from mixnet_dense.export.description import describe, from_json
from mixnet_dense.export.hosted import exported_model, is_exported
from mixnet_dense.weights.load import load_model

RESIZE = "test_dataloader.dataset.pipeline.1"
KEEP_RATIO = f"{RESIZE}.keep_ratio=True"


def same_boxes(found, expected):
    """Nearly equal scores may come in another order."""
    assert len(found) == len(expected) == 100
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)
    apart = (found.bboxes[:, None] - expected.bboxes).abs().amax(-1)
    same = (apart < 0.1) & (found.labels[:, None] == expected.labels)
    assert float(same.any(0).float().mean()) > 0.95


@pytest.mark.parametrize("arguments", [[], ["--preprocess"]])
def test_a_detector_of_mmdet(files, tmp_path, arguments):
    """Normalisation is done once, by mmdet or in the file; boxes are of the original image."""
    from mmdet.structures import DetDataSample

    export(files, "detector", tmp_path / "a.pt", "--size", "96", "128", *arguments)
    config = Config.fromfile(DETECTOR)
    before = copy.deepcopy(config.model.to_dict())
    exported = exported_model(config, str(tmp_path / "a.pt"))
    assert config.model.to_dict() == before
    image = cv2.resize(images(files)[0], (128, 96))
    found = []
    for model in (exported, load_model(config, str(files / "detector.pth")).cpu()):
        meta = dict(img_shape=(96, 128), ori_shape=(48, 128), scale_factor=(1.0, 2.0))
        pixels = torch.from_numpy(image.transpose(2, 0, 1).copy())
        data = dict(inputs=[pixels], data_samples=[DetDataSample(metainfo=meta)])
        with torch.no_grad():
            found.append(model.test_step(data)[0].pred_instances)
        assert model.dataset_meta["classes"][3] == "class 3" and model.cfg is config
    same_boxes(*found)
    assert float(found[0].bboxes[:, 1::2].max()) <= 48.01


def seg_sample(shape, **meta):
    from mmseg.structures import SegDataSample

    return SegDataSample(metainfo=dict(ori_shape=shape, img_shape=shape, **meta))


def test_a_segmenter_of_mmseg_in_windows_and_mirrored(files, tmp_path):
    """Windows overlap; logits are averaged over the mirrored image."""
    from mmseg.models import SegTTAModel

    export(files, "segmenter", tmp_path / "a.pt", "--size", "64", "96")
    config = Config.fromfile(SEGMENTER)
    config.model.test_cfg = dict(mode="slide", crop_size=(64, 96), stride=(32, 48))
    image = torch.from_numpy(images(files)[0].transpose(2, 0, 1).copy())  # (3, 90, 120)
    samples = [
        [seg_sample((90, 120), flip=False, img_path="a.png")],
        [seg_sample((90, 120), flip=True, flip_direction="horizontal", img_path="a.png")],
    ]
    data = dict(inputs=[[image], [image.flip(-1)]], data_samples=samples)
    found, expected = (
        SegTTAModel(model).test_step(copy.deepcopy(data))[0].pred_sem_seg.data
        for model in (
            exported_model(config, str(tmp_path / "a.pt")),
            load_model(config, str(files / "segmenter.pth")).cpu(),
        )
    )
    assert len(expected.unique()) > 3
    assert float((found == expected).float().mean()) > 0.999


def test_class_numbers_in_windows_of_mmseg(files, tmp_path):
    """A file that normalises and decides itself, side by side on (64, 192)."""
    options = ["--size", "64", "96", "--preprocess", "--end-to-end"]
    export(files, "segmenter", tmp_path / "a.pt", *options)
    config = Config.fromfile(SEGMENTER)
    config.model.test_cfg = dict(mode="slide", crop_size=(64, 96), stride=(64, 96))
    picture = cv2.resize(images(files)[0], (192, 64))
    data = dict(
        inputs=[torch.from_numpy(picture.transpose(2, 0, 1).copy())],
        data_samples=[seg_sample((64, 192))],
    )
    found, expected = (
        model.test_step(copy.deepcopy(data))[0].pred_sem_seg.data
        for model in (
            exported_model(config, str(tmp_path / "a.pt")),
            load_model(config, str(files / "segmenter.pth")).cpu(),
        )
    )
    assert len(expected.unique()) > 3
    assert float((found == expected).float().mean()) > 0.999


def test_no_method_of_a_host_is_replaced(files, tmp_path):
    export(files, "segmenter", tmp_path / "a.pt", "--size", "64", "96", "--preprocess")
    model = exported_model(Config.fromfile(SEGMENTER), str(tmp_path / "a.pt"))
    for module in model.modules():
        assert not [name for name, value in vars(module).items() if inspect.isroutine(value)], (
            module
        )
    assert not hasattr(model.data_preprocessor, "mean")


def test_a_file_of_another_model_is_named(files, tmp_path):
    export(files, "segmenter", tmp_path / "a.pt", "--size", "64", "64")
    with pytest.raises(InputError, match="is for segmentation, the config's model is for detect"):
        tool("predict")(DETECTOR, tmp_path / "a.pt", files / "images", "--out", tmp_path / "out")
    config = load_config(SEGMENTER, ["model.decode_head.num_classes=4"])
    with pytest.raises(InputError, match="has 19 classes, the config's model 4"):
        exported_model(config, str(tmp_path / "a.pt"))


def test_predictions_are_drawn_from_an_exported_file(files, tmp_path):
    export(files, "detector", tmp_path / "a.pt")
    found = []
    for path in (tmp_path / "a.pt", files / "detector.pth"):
        out = tmp_path / path.stem
        tool("predict")(DETECTOR, path, files / "images", "--out", out, "--score", "0")
        rows = json.loads((tmp_path / path.stem / "predictions.json").read_text())
        found.append([row["score"] for row in rows])
    assert len(found[0]) == 300
    np.testing.assert_allclose(*found, atol=2e-5)


# ------------------------------------------------------- checkpoint or exported file


def test_what_a_pt_file_is_depends_on_its_content(files, tmp_path):
    content = torch.load(files / "detector.pth", weights_only=False)
    torch.save(content, tmp_path / "zip.pt")
    torch.save(content, tmp_path / "legacy.pt", _use_new_zipfile_serialization=False)
    config = Config.fromfile(DETECTOR)
    expected = load(str(files / "detector.pth"), config)(images(files)[0])
    for name in ("zip.pt", "legacy.pt"):
        assert not is_exported(str(tmp_path / name))
        found = load(str(tmp_path / name), config)(images(files)[0])
        assert torch.equal(found.scores, expected.scores)
    export(files, "detector", tmp_path / "a.pt", "--size", "64", "64")
    assert is_exported(str(tmp_path / "a.pt"))
    assert is_exported("absent.onnx") and not is_exported("absent.pt")
    assert not is_exported("work_dirs/demo")


# -------------------------------------------------------------------- keep_ratio


def test_the_ratio_is_kept_as_the_test_pipeline_keeps_it(files):
    """Of (240, 480) in (320, 320): times 2/3. Of (200, 100) in (96, 128): times 128 / 200."""
    model = load_model(load_config(DETECTOR, [KEEP_RATIO]), str(files / "detector.pth"))
    about = describe(model)
    assert about.keep_ratio and about.resized == (320, 320)
    assert about.input_size((240, 480)) == (160, 320)
    assert dataclasses.replace(about, resized=(96, 128)).input_size((200, 100)) == (128, 64)
    assert dataclasses.replace(about, keep_ratio=False).input_size((240, 480)) == (320, 320)
    assert dataclasses.replace(about, height=64, width=64).input_size((320, 320)) == (320, 320)


@pytest.mark.parametrize("option", [KEEP_RATIO, f"{RESIZE}.type=mixnet_dense.TensorFlowResize"])
def test_a_predictor_resizes_as_the_commands_do(files, tmp_path, option):
    """mmdet's own call runs the config's test pipeline: (90, 120) becomes (240, 320), if kept."""
    from mmdet.apis import inference_detector

    out, options = tmp_path / "a.pt", ["--cfg-options", option]
    export(files, "detector", out, "--dynamic", "--size", "320", "320", *options)
    config = load_config(DETECTOR, [option])
    pictures = images(files)
    model = load_model(config, str(files / "detector.pth")).cpu()
    for predict in (load(str(out)), load(str(files / "detector.pth"), config)):
        for found, picture in zip(predict(pictures), pictures, strict=True):
            same_boxes(found, inference_detector(model, picture).pred_instances)


def test_files_of_earlier_versions_are_resized_by_opencv(files):
    about = describe(load_model(load_config(DETECTOR), str(files / "detector.pth")))
    text = json.loads(about.to_json())
    assert text.pop("resize") == "Resize"
    assert from_json(json.dumps(text), "a.pt").resize == "Resize"


def test_a_file_for_one_size_takes_no_other_ratio(files, tmp_path):
    out, options = tmp_path / "a.pt", ["--cfg-options", KEEP_RATIO]
    for more in ([], ["--dynamic"]):  # which is traced and verified at some size
        with pytest.raises(InputError, match=r"--size: is needed.* \(keep_ratio=True\)"):
            export(files, "detector", out, *more, *options)
    export(files, "detector", out, "--size", "240", "320", *options)
    wide, tall, _ = images(files)
    assert len(load(str(out))(wide)) == 100
    with pytest.raises(InputError, match="is for images of 240 x 320, these are 320 x 250"):
        load(str(out))(tall)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("pipeline.1.type=FixScaleResize", "resizes by FixScaleResize: must be one Resize with"),
        ("pipeline.1.scale=None", "Resize with scale=None: must be a width and a height"),
    ],
)
def test_other_ways_to_resize_are_refused(files, tmp_path, option, message):
    options = ["--cfg-options", f"test_dataloader.dataset.{option}"]
    with pytest.raises(InputError, match=message):
        export(files, "detector", tmp_path / "a.pt", *options)
    padded = [KEEP_RATIO, "model.data_preprocessor.pad_size_divisor=32"]
    with pytest.raises(InputError, match="keep_ratio=True with pad_size_divisor"):
        load(str(files / "detector.pth"), load_config(DETECTOR, padded))


def test_the_resize_of_wrapped_test_sets_is_found(files):
    config = Config.fromfile(DETECTOR)
    one = config.test_dataloader.dataset
    config.test_dataloader.dataset = dict(type="ConcatDataset", datasets=[one, one])
    assert describe(load_model(config, str(files / "detector.pth"))).resized == (320, 320)
