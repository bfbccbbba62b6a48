"""Functions that spoil a folder of good inputs; `bad_inputs` says what each is for.

The folder has ``det.py`` and ``seg.py``, configs of a tiny detector and segmenter, their
checkpoints ``k.pth`` and ``s.pth``, and the embedded sample in ``sample/``, with 8 and 4 images.
Its files are links that several folders share: each is replaced, never written into.
"""

import gzip
import io
import json
import os
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch
from lite_files import lite
from PIL import Image
from safetensors.torch import save_file
from tensorflow_files import graph_def, model_json, write_model

from mixnet_dense.engine.shards import index_folder

TRAIN = "sample/annotations/instances_train2017.json"
VAL = TRAIN.replace("train", "val")
PHOTO, TEST_PHOTO = "sample/train2017/000001.jpg", "sample/val2017/000001.jpg"


# ------------------------------------------------------------------ any file


def write(name, content=""):
    """Write text or bytes."""

    def make(folder: Path):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    return make


def cut(name, keep=0.5):
    def make(folder: Path):
        data = (folder / name).read_bytes()
        write(name, data[: int(len(data) * keep)])(folder)

    return make


def remove(name):
    return lambda folder: (folder / name).unlink()


def in_place(name, make):
    """Put something that is no regular file in the place of one."""

    def spoil(folder: Path):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).unlink(missing_ok=True)
        make(folder / name)

    return spoil


def directory(name):
    return in_place(name, Path.mkdir)


def pipe(name):
    return in_place(name, os.mkfifo)


def dangling(name):
    return in_place(name, lambda path: path.symlink_to("nowhere"))


# --------------------------------------------------------------- annotations


def change(file, spoil):
    """Spoil the content of a JSON file."""

    def make(folder: Path):
        content = json.loads((folder / file).read_text())
        write(file, json.dumps(spoil(content) or content))(folder)

    return make


def row(part, file=TRAIN, **values):
    """Change the second image, annotation or category."""
    return change(file, lambda content: content[part][1].update(values))


def without(part, key, file=TRAIN):
    return change(file, lambda content: content[part][1].pop(key) and None)


def box(*values, file=TRAIN):
    return row("annotations", file, bbox=list(values))


def twice(part, file=TRAIN):
    return change(file, lambda content: content[part].append(content[part][1]))


def equal_ids(file=TRAIN):
    def mix(content):
        content["annotations"][0]["id"], content["annotations"][1]["id"] = 1, True

    return change(file, mix)


# -------------------------------------------------------------------- images


def giant(name, side=30_000, mode=0):
    """A PNG of some hundred bytes that says it has this many pixels a side."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, mode, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return write(name, b"\x89PNG\r\n\x1a\n" + head + data + chunk(b"IEND", b""))


def value(name, number):
    """Write a number into the corner of a label map."""

    def make(folder: Path):
        array = np.array(Image.open(folder / name))
        array[0, 0] = number
        picture(name, array)(folder)

    return make


def picture(name, array):
    def make(folder: Path):
        (folder / name).unlink(missing_ok=True)
        Image.fromarray(np.asarray(array)).save(folder / name, format="PNG")

    return make


# -------------------------------------------------------------------- shards


def shards(spoil=lambda folder: None):
    """The images of det.py as shards, in ``tars/``; then spoil the folder."""

    def make(folder: Path):
        for split in ("train", "val"):
            path = folder / f"tars/{split}-000000.tar"
            path.parent.mkdir(exist_ok=True)
            with tarfile.open(path, "w") as tar:
                tar.add(folder / f"sample/{split}2017", f"{split}2017")
        index_folder(folder / "tars")
        for name in (TRAIN, VAL):
            write(name.replace("sample", "tars"), (folder / name).read_bytes())(folder)
        spoil(folder)

    return make


# --------------------------------------------------------------- checkpoints


def weights(name="k.pth", **changes):
    """Change a checkpoint's entries; a function gets the old entry."""

    def make(folder: Path):
        content = torch.load(folder / name, weights_only=False)
        for key, value in changes.items():
            content[key] = value(content.get(key)) if callable(value) else value
        (folder / name).unlink()
        torch.save(content, folder / name)

    return make


def meta(**changes):
    return weights(meta=lambda old: {**old, **changes})


def dataset(**changes):
    return weights(meta=lambda old: {**old, "dataset_meta": {**old["dataset_meta"], **changes}})


def one_weight(value, key="backbone.stem.conv.weight"):
    def spoil(state):
        name = key if key in state else next(iter(state))
        tensor = state[name].clone()
        tensor.view(-1)[0] = value
        return {**state, name: tensor}

    return weights(state_dict=spoil)


def saved(name, content):
    """A file of ``torch.save``."""

    def make(folder: Path):
        (folder / name).unlink(missing_ok=True)
        torch.save(content, folder / name)

    return make


class Code:
    """Pickled, it would write a file."""

    def __reduce__(self):
        return open, ("ran", "w")


def compressed(folder: Path):
    """A checkpoint of 64 kB that unpacks to 64 MB."""
    torch.save({"state_dict": {"x": torch.zeros(16 * 2**20)}}, folder / "big.pth")
    with zipfile.ZipFile(folder / "big.pth") as source:
        with zipfile.ZipFile(folder / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as target:
            for member in source.namelist():
                target.writestr(member, source.read(member))
    (folder / "big.pth").unlink()


def tensors(name, metadata=None, **values):
    return lambda folder: save_file(values, folder / name, metadata)


# ------------------------------------------------------------ exported files

ABOUT = dict(
    task="detection", config="det.py", model=dict(type="mixnet_dense.SSDLite"), suppression=None,
    classes=["a", "b"], palette=None, mean=[0.0] * 3, std=[1.0] * 3, bgr_to_rgb=True, batch=1,
    height=64, width=64, resized=[64, 64], preprocess=False, end_to_end=False, outputs=["boxes"],
)  # fmt: skip


def script(text=None, **changes):
    """A TorchScript file ``x.pt`` with metadata: a text, or those of a detector, changed."""

    def make(folder: Path):
        module = torch.jit.trace(torch.nn.Identity(), torch.zeros(1, 3, 64, 64))
        notes = json.dumps(ABOUT | changes) if text is None else text
        torch.jit.save(module, folder / "x.pt", _extra_files={"mixnet_dense": notes})

    return make


# -------------------------------------------------------------------- graphs

CONSTANTS = {"net/weights": np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4)}


def topology(spoil):
    """A graph model of TensorFlow.js in ``g/``, spoilt."""

    def make(folder: Path):
        model, shards = model_json(CONSTANTS)
        spoil(model)
        write_model(folder / "g", model, shards)

    return make


def entry(**changes):
    """Change what model.json says of a weight."""
    return topology(lambda model: model["weightsManifest"][0]["weights"][0].update(changes))


def shard(path):
    return topology(lambda model: model["weightsManifest"][0].update(paths=[path]))


def frozen(spoil=lambda node: None, keep=1.0):
    """A frozen graph ``g.pb``."""
    graph = graph_def(CONSTANTS)
    spoil(graph.node[0])
    data = graph.SerializeToString()
    return write("g.pb", data[: int(len(data) * keep)])


def gzip_bomb(folder: Path):
    """An archive with 640 MB of zeros in 640 kB: a block is repeated without being packed anew."""
    member = tarfile.TarInfo("g.txt")
    member.size = 40 * 2**24
    block = gzip.compress(bytes(2**24), 9)
    (folder / "g.tar.gz").write_bytes(gzip.compress(member.tobuf()) + block * 40)


def tiny_lite(keep=1.0, array=None, scales=(0.5,), zeros=(0,)):
    """A TensorFlow Lite file ``g.tflite`` with one convolution."""
    kernel = np.zeros((4, 1, 2, 3), np.uint8) if array is None else array
    name = "net/Conv2D_Fold;net/weights_quant/FakeQuantWithMinMaxVars"
    data = lite([("in", None, [0.5], [128]), (name, kernel, scales, zeros)], [(3, [0, 1])])
    return write("g.tflite", data[: int(len(data) * keep)])


# ----------------------------------------------------------- people's labels


def photos(**labels):
    """``photos/`` with ``a.jpg`` and label files by name, ``__`` for a dot."""

    def make(folder: Path):
        (folder / "photos").mkdir()
        Image.new("RGB", (64, 48)).save(folder / "photos/a.jpg")
        for name, text in labels.items():
            (folder / "photos" / name.replace("__", ".")).write_text(text)

    return make


def masks(values):
    """``photos/images/a.png`` and ``photos/masks/a.png`` with these values."""

    def make(folder: Path):
        for kind, array in (("images", np.zeros((48, 64, 3), np.uint8)), ("masks", values)):
            (folder / "photos" / kind).mkdir(parents=True)
            Image.fromarray(np.asarray(array)).save(folder / "photos" / kind / "a.png")

    return make


def archive(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="w") as stream:
        stream.write(data)
    return buffer.getvalue()
