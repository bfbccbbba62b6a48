"""Pascal VOC's layout, and DeepLab's preparation of images: enlarged, padded, cut off again."""

import json

import cv2
import golden
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import init_default_scope
from PIL import Image
from running import ROOT, tool

from mixnet_dense import checkpoints
from mixnet_dense.engine.config import load_config
from mixnet_dense.errors import InputError
from mixnet_dense.export import load
from mixnet_dense.export.description import describe
from mixnet_dense.registry import MODELS
from mixnet_dense.seg import PascalVOCDataset
from mixnet_dense.weights.load import load_model

CONFIG = ROOT / "configs" / "raspp_mobilenetv2_voc.py"
SIZES = {"a": (40, 60), "b": (70, 50), "c": (33, 33)}  # height, width
SMALL = [
    "model.data_preprocessor.test_cfg.size=(129, 129)",
    "test_dataloader.dataset.pipeline.1.scale=(129, 129)",
    "model.backbone.width=0.35",
    "model.decode_head.channels=32",
    "test_dataloader.num_workers=0",
    "test_dataloader.persistent_workers=False",
]


@pytest.fixture(scope="module")
def voc(tmp_path_factory):
    """Three photographs in VOC's layout, two of them annotated, and ``weights.pth``."""
    root = tmp_path_factory.mktemp("voc")
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name, (height, width) in SIZES.items():
        pixels = cv2.resize(rng.integers(0, 256, (5, 6, 3), dtype=np.uint8), (width, height))
        cv2.imwrite(str(root / f"JPEGImages/{name}.jpg"), pixels)
        labels = Image.fromarray(rng.choice([0, 7, 20, 255], (height, width)).astype(np.uint8))
        labels.putpalette(rng.integers(0, 256, 768).tolist())  # as VOC's own label maps have
        if name != "c":
            labels.save(root / f"SegmentationClass/{name}.png")
    (root / "ImageSets/Segmentation/val.txt").write_text("a\nb\n")
    config = load_config(str(CONFIG), SMALL)
    init_default_scope("mmseg")
    model = golden.fill(MODELS.build(config.model)).float()
    meta = dict(dataset_meta=dict(classes=PascalVOCDataset.METAINFO["classes"]))
    checkpoints.write(str(root / "weights.pth"), model.state_dict(), meta)
    return root


def options(root, *more):
    return ["--cfg-options", *SMALL, f"test_dataloader.dataset.data_root={root}", *more]


# --------------------------------------------------------------------- dataset


def dataset(root, **more):
    prefix = dict(img_path="JPEGImages", seg_map_path="SegmentationClass")
    return PascalVOCDataset(data_root=str(root), data_prefix=prefix, **more)


def test_dataset_reads_a_list_of_names_or_a_folder(voc, tmp_path):
    listed = dataset(voc, ann_file="ImageSets/Segmentation/val.txt")
    assert [row["img_path"][-5:] for row in listed] == ["a.jpg", "b.jpg"]
    assert len(listed.metainfo["classes"]) == len(listed.metainfo["palette"]) == 21
    with pytest.raises(InputError, match="1 of 3 images have no label map, first .*c.png"):
        dataset(voc)
    assert len(PascalVOCDataset(data_prefix=dict(img_path=str(voc / "JPEGImages")))) == 3


def test_a_value_that_is_no_class_is_named(voc):
    names = dict(ann_file="ImageSets/Segmentation/val.txt")
    with pytest.raises(InputError, match=r"a.png: has the label ids \[20\], allowed are 0 to 19"):
        dataset(voc, metainfo=dict(classes=[str(index) for index in range(20)]), **names)
    some = dataset(voc, metainfo=dict(classes=("tvmonitor", "car")), **names)
    assert some.label_map[20] == 0 and some.label_map[7] == 1 and some.label_map[0] == 255


def test_missing_files_say_what_to_unpack(tmp_path):
    with pytest.raises(InputError, match="not there; unpack VOCtrainval_11-May-2012.tar"):
        tool("train")(CONFIG, "--cfg-options", f"train_dataloader.dataset.data_root={tmp_path}")


# -------------------------------------------------------------------- padding


def by_hand(model, path):
    """The classes of an image: enlarged to 129, padded with 127.5, corners aligned, cut off."""
    image = cv2.imread(str(path))[..., ::-1]
    scale = 129 / max(image.shape[:2])
    height, width = (int(side * scale + 0.5) for side in image.shape[:2])
    pixels = np.full((129, 129, 3), 127.5, np.float32)
    pixels[:height, :width] = cv2.resize(image, (width, height))
    x = torch.from_numpy((pixels - 128) / 128).permute(2, 0, 1)[None]
    with torch.no_grad():
        maps = model(x, mode="tensor")
    for size in ((129, 129), image.shape[:2]):
        maps = F.interpolate(maps, size, mode="bilinear", align_corners=True)
        maps = maps[..., :height, :width]
    return maps[0].argmax(0).numpy()


def expected(voc):
    model = load_model(load_config(str(CONFIG), SMALL), str(voc / "weights.pth")).cpu()
    return {name: by_hand(model, voc / f"JPEGImages/{name}.jpg") for name in SIZES}


def agree(found, wanted):
    assert found.shape == wanted.shape and len(np.unique(wanted)) > 1
    return float((found == wanted).mean())


def test_masks_are_those_of_the_image_without_its_padding(voc, tmp_path):
    photographs = voc / "JPEGImages"
    arguments = (CONFIG, voc / "weights.pth", photographs, "--out", tmp_path, *options(voc))
    tool("predict")(*arguments)
    for name, wanted in expected(voc).items():
        assert agree(np.asarray(Image.open(tmp_path / f"masks/{name}.png")), wanted) > 0.999


def test_evaluation_is_of_the_annotated_pixels(voc, tmp_path):
    out = tmp_path / "metrics.json"
    tool("test")(CONFIG, voc / "weights.pth", "--work-dir", tmp_path, "--out", out, *options(voc))
    right = counted = 0
    for name, found in list(expected(voc).items())[:2]:
        labels = np.asarray(Image.open(voc / f"SegmentationClass/{name}.png"))
        right += (found == labels).sum()
        counted += (labels != 255).sum()
    metrics = json.loads(out.read_text())["metrics"]
    assert metrics["aAcc"] == pytest.approx(100 * right / counted, abs=0.2) and right > 0


@pytest.mark.parametrize(
    ("argument", "agreeing"),
    [("--preprocess", 0.99), ("--end-to-end", 0.9)],  # class numbers are resized, not logits
)
def test_exported_files_pad_too(voc, tmp_path, argument, agreeing):
    path, more = tmp_path / "file.pt", options(voc)
    export = (CONFIG, voc / "weights.pth", "--format", "torchscript", "--out", path)
    tool("export")(*export, argument, *more)
    about = load(str(path)).about
    assert about.height == about.width == 129 and about.input_size((40, 60)) == (86, 129)
    masks = expected(voc)
    config = load_config(str(CONFIG), SMALL)
    for predict in (load(str(path)), load(str(voc / "weights.pth"), config)):
        for name, wanted in masks.items():
            image = cv2.imread(str(voc / f"JPEGImages/{name}.jpg"))
            assert agree(predict(image).numpy(), wanted) > agreeing
    tool("predict")(CONFIG, path, voc / "JPEGImages", "--out", tmp_path / "found", *more)
    for name, wanted in masks.items():
        assert (
            agree(np.asarray(Image.open(tmp_path / f"found/masks/{name}.png")), wanted) > agreeing
        )
    with pytest.raises(InputError, match="--size: the config pads images to 129 x 129"):
        tool("export")(*export, "--size", "96", "96", *more)


def described(voc, *more, **arguments):
    config = load_config(str(CONFIG), [*SMALL, *more])
    return describe(load_model(config, str(voc / "weights.pth")), **arguments)


def test_padding_that_a_file_cannot_do_is_refused(voc):
    about = described(voc)
    assert (about.padded, about.pad_value, about.align_corners) == ((129, 129), -0.5 / 128, True)
    assert described(voc, preprocess=True).pad_value == 127.5
    uneven = "model.data_preprocessor.mean=[123.0, 116.0, 103.0]"
    assert described(voc, uneven).pad_value == -0.5 / 128
    with pytest.raises(InputError, match="--preprocess: each channel would be padded otherwise"):
        described(voc, uneven, preprocess=True)
    with pytest.raises(InputError, match="test_cfg: exported files take size, not size_divisor"):
        described(voc, "model.data_preprocessor.test_cfg={'size_divisor': 32}")
