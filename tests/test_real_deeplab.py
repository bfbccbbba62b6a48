"""TensorFlow's trained DeepLab for Pascal VOC on photographs: part of `make test-real`.

deeplabv3_mnv2_pascal_quant.tflite of google-coral/test_data (Apache-2.0) and COCO's photographs are
looked for in ../shared, or where MIXNET_DENSE_SHARED says.
"""

import json

import golden
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from PIL import Image
from recorders.tensorflow_deeplab import LABELS, NAME, padded, scores
from running import ROOT, tool
from skimage.data import astronaut
from test_real_tensorflow import shared

from mixnet_dense import checkpoints
from mixnet_dense.registry import MODELS
from mixnet_dense.seg import PascalVOCDataset

pytestmark = pytest.mark.real

CONFIG = ROOT / "configs" / "raspp_mobilenetv2_voc.py"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """The trained segmenter's weights, converted, in a file."""
    path = tmp_path_factory.mktemp("deeplab") / "weights.pth"
    file = shared("real/voc_deeplab/deeplabv3_mnv2_pascal_quant.tflite")
    model = "deeplab_mobilenetv2_voc"
    tool("convert_weights")(file, path, "--source", "tensorflow", "--model", model)
    return path


def test_segmenter_computes_what_the_files_operators_compute(weights):
    init_default_scope("mmseg")
    model = MODELS.build(Config.fromfile(CONFIG).model).eval()
    model.load_state_dict(checkpoints.read(str(weights))[0])
    pixels = torch.from_numpy(padded(astronaut(), 127.5)).permute(0, 3, 1, 2)
    with torch.inference_mode():
        logits = model((pixels - 128) / 128, mode="tensor")[..., ::2, ::2]
    with np.load(golden.DATA / f"{NAME}.npz") as record:
        expected = torch.from_numpy(record["astronaut_logits_every_2"])
    distance = golden.relative_error(logits, expected)
    print(f"logits: {distance:.1e} of the largest")
    assert distance < 1e-4


def test_segmenter_scores_as_the_files_own_runtime(weights, tmp_path):
    photographs = shared("real/coco")
    maps = sorted((photographs / "semantic_val2017").glob("*.png"))
    present = np.zeros(256, bool)
    for path in maps:
        labels = LABELS[np.asarray(Image.open(path))]
        present[np.unique(labels)] = True
        Image.fromarray(labels).save(tmp_path / path.name)
    (tmp_path / "names.txt").write_text("\n".join(path.stem for path in maps))
    settings = [
        f"test_dataloader.dataset.data_root={photographs}/",
        f"test_dataloader.dataset.ann_file={tmp_path}/names.txt",
        f"test_dataloader.dataset.data_prefix.seg_map_path={tmp_path}",
        "test_dataloader.dataset.data_prefix.img_path=val2017",
        "test_dataloader.num_workers=0",
        "test_dataloader.persistent_workers=False",
    ]
    out = tmp_path / "metrics.json"
    options = ("--work-dir", tmp_path, "--out", out, "--cfg-options", *settings)
    tool("test")(CONFIG, weights, *options)
    metrics = json.loads(out.read_text())["metrics"]
    classes = PascalVOCDataset.METAINFO["classes"]
    # of the classes that are annotated: others, predicted for some pixels, count as 0 in mIoU
    ious = [metrics[f"IoU.{name}"] for index, name in enumerate(classes) if present[index]]
    found = metrics["aAcc"] / 100, sum(ious) / len(ious) / 100
    print(f"{len(maps)} photographs, {len(ious)} classes: accuracy, mIoU", *found, metrics)
    with np.load(golden.DATA / f"{NAME}.npz") as record:
        assert record["photos"].tolist() == [int(path.stem) for path in maps]
        for kind, within in (("quantised", 0.01), ("float32", 0.002)):
            expected = scores(record[kind].sum(0))
            print(kind, *expected)
            assert found == pytest.approx(expected, abs=within)
