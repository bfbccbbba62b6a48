"""A short config for someone's own photos: classes, paths, batch size, length, learning rate."""

import ast
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import torch

from mixnet_dense.data.folder import Labels, Photo
from mixnet_dense.data.formats import read
from mixnet_dense.data.pictures import content_key
from mixnet_dense.errors import InputError
from mixnet_dense.files import check_writable, write_json
from mixnet_dense.shipped import configs

SHARE = 0.2  # of the photos for validation
_SEED = "0"
_OWN = "_finetune"  # ends the name of a config for own photos


class Task(NamedTuple):
    """What differs between detection and segmentation.

    Attributes:
        trained: data sets of the configs whose models are offered; ``data`` replaces them.
        head: of a model.
        megabytes: that a training image takes at the input size of ``data``, with
            MobileNetV3-Large.
        suffix: of the file that lists the photos of a split.
        model: if none is named.
        schedules: to train from nothing and to fine-tune.
    """

    trained: tuple[str, ...]
    data: str
    head: str
    megabytes: int
    suffix: str
    model: str
    schedules: tuple[str, str]


TASKS = dict(
    detection=Task(
        ("coco", "coco_by_id"), "own_coco", "bbox_head", 150, "json",
        "ssdlite_mobilenetv3_large", ("own_data", "finetune"),
    ),
    segmentation=Task(
        ("cityscapes", "voc"), "own_masks", "decode_head", 400, "txt",
        "lraspp_mobilenetv3_large", ("own_masks", "finetune_masks"),
    ),
)  # fmt: skip


class Plan(NamedTuple):
    """``passes`` over the photos, at least ``steps``; the learning rate for 16 images a step."""

    passes: int
    steps: int
    rate: float
    words: str


_SCRATCH = Plan(100, 600, 1e-3, "trained from nothing")
_TUNED = Plan(10, 100, 5e-4, "fine-tuned as schedules/{}.py says: batch norm keeps its statistics")


def write_config(
    data: Path, out: Path, task: str, model: str | None = None, weights: str | None = None
) -> list[str]:
    """Read the labels, write them as COCO's json or as lists, and a config of 15 lines at most.

    Args:
        data: the folder of photos; it is not changed.
        out: the config to write; the labels go into a folder beside it.
        task: a key of `TASKS`.
        model: a key of `fitting_models`; the task's own by default.
        weights: for ``load_from``, to fine-tune them.

    Returns:
        Lines that say what was found, left out and written.

    Raises:
        InputError: see `formats.read` and `masks.read_pairs`; a model that does not fit the task;
            or a target that is there already or lies in the user's folder.
    """
    folder = out.with_name(f"{out.stem}_labels")
    for path in (out, folder):
        if path.exists():
            raise InputError(f"{path}: is there already; remove it or give another --out")
        if data.resolve() in path.resolve().parents:
            raise InputError(f"--out {path}: lies in the folder of the photos, {data}")
    head = _model(out, task, model or TASKS[task].model, bool(weights))
    found = _read(data, task)
    splits = split(found.photos)
    check_writable(str(folder / "train"))
    for name, photos in splits.items():
        path = folder / f"{name}.{TASKS[task].suffix}"
        if task == "detection":
            write_json(str(path), coco_rows(photos, found.classes, data))
        else:
            path.write_text("".join(f"{found.name(photo)}\n" for photo in photos), "utf-8")
    counts = {name: len(photos) for name, photos in splits.items()}
    title = f"# {data.name}: {counts['train']} photos to train, {counts['val']} to validate."
    lines = [title, f"#   python tools/train.py {out.name}", head[0]]
    lines += [*_data(data, folder, found), *head[1:], *_training(counts["train"], task, weights)]
    out.write_text("\n".join(lines) + "\n", "utf-8")
    said = [f"{found.format} labels: " + ", ".join(f"{n} {name}" for name, n in counts.items())]
    said += [f"{count} {what}" for what, count in found.left_out.items()]
    return [*said, f"{out} and {folder}/ are written"]


def _read(data: Path, task: str) -> Labels:
    if task == "detection":
        return read(data)
    from mixnet_dense.data.masks import read_pairs  # needs mmseg, detection does not

    return read_pairs(data)


def split(photos: Sequence[Photo]) -> dict[str, list[Photo]]:
    """Photos of each split; if not both train and val are there, a fifth becomes val.

    Which photos these are follows from their content alone, so that copies of one photo are on
    the same side and the choice is the same on every machine. The split ``test`` stays.

    Raises:
        InputError: fewer than two photos of different content.
    """
    splits: dict[str, list[Photo]] = {"train": [], "val": []}
    for photo in photos:
        splits.setdefault(photo.split or "train", []).append(photo)
    if splits["train"] and splits["val"]:
        return splits
    rest = splits["train"] + splits["val"]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        keys = pool.map(lambda photo: content_key(photo.path, _SEED), rest)
        ranked = sorted(zip(keys, rest, strict=True), key=lambda pair: (pair[0], pair[1].path))
    last = ranked[max(1, round(SHARE * len(rest))) - 1][0] if rest else ""
    splits["val"] = [photo for key, photo in ranked if key <= last]
    splits["train"] = [photo for key, photo in ranked if key > last]
    if not splits["train"]:
        raise InputError(f"{len(rest)} photos: two different ones are needed, to train and to test")
    return splits


def coco_rows(photos: Sequence[Photo], classes: Sequence[str], root: Path) -> dict[str, list]:
    """The content of a COCO annotation file; ids count from 1, files are named below ``root``."""
    images, annotations = [], []
    ids = {name: number for number, name in enumerate(classes, 1)}
    for photo in photos:
        file_name = photo.path.relative_to(root).as_posix()
        width, height = photo.size
        images.append(dict(id=len(images) + 1, file_name=file_name, width=width, height=height))
        for row in photo.objects:
            ref = dict(id=len(annotations) + 1, image_id=len(images), category_id=ids[row["name"]])
            area = dict(area=row["bbox"][2] * row["bbox"][3])
            own = {key: value for key, value in row.items() if key != "name"}
            annotations.append(ref | area | own)
    categories = [dict(id=number, name=name) for name, number in ids.items()]
    return dict(images=images, annotations=annotations, categories=categories)


# ---------------------------------------------------------------------- config


def fitting_models(task: str) -> dict[str, tuple[dict[str, ast.expr], list[str]]]:
    """The models of a task, by name: what their configs assign, and their bases.

    A model with a config of its own for fine-tuning, NAME_finetune.py, has that as its base.
    """
    fitting = {}
    for path in sorted(configs().glob("*.py")):
        lines = {
            node.targets[0].id: node.value
            for node in ast.parse(path.read_text("utf-8")).body
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        }
        bases = ast.literal_eval(lines.pop("_base_"))
        data, name = Path(bases[1]).stem if isinstance(bases, list) else "", path.stem
        if name.endswith(_OWN) and data.startswith(TASKS[task].trained):
            empty = dict(model=ast.Call(ast.Name("dict"), [], []))
            fitting[name.removesuffix(_OWN)] = empty, [path.name]
        elif data in TASKS[task].trained:
            fitting[name] = lines, bases
    return fitting


def _model(out: Path, task: str, name: str, tuned: bool) -> list[str]:
    """The lines of the bases and the model, with the number of classes."""
    row, fitting = TASKS[task], fitting_models(task)
    if name not in fitting:
        raise InputError(f"--model {name}: for {task} must be one of {', '.join(fitting)}")
    lines, bases = fitting[name]
    _set(lines["model"], row.head, "num_classes", "len(classes)")
    if len(bases) > 1:
        if Path(bases[1]).stem == "cityscapes":
            _set(lines["model"], "data_preprocessor", "size", "_base_.crop_size")
        schedule = row.schedules[tuned]
        bases = [bases[0], f"_base_/datasets/{row.data}.py", f"_base_/schedules/{schedule}.py"]
    elif not tuned:
        raise InputError(f"--model {name}: is only fine-tuned here; give --weights too")
    # relative within the project
    home, target = configs().resolve(), out.resolve().parent
    inside = home.parent in (target, *target.parents)
    places = [os.path.relpath(home / base, target) if inside else home / base for base in bases]
    texts = [f"{key} = {ast.unparse(value)}".replace("'", '"') for key, value in lines.items()]
    return [f"_base_ = {_shown([Path(place).as_posix() for place in places])}", *texts]


def _set(model: ast.Call, part: str, key: str, value: str) -> None:
    """Write ``part=dict(key=value)`` into the code ``dict(…)``."""
    parts = {keyword.arg: keyword for keyword in model.keywords}
    if part not in parts:
        parts[part] = ast.keyword(part, ast.Call(ast.Name("dict"), [], []))
        model.keywords.append(parts[part])
    inside = parts[part].value
    inside.keywords = [each for each in inside.keywords if each.arg != key]
    inside.keywords.append(ast.keyword(key, ast.parse(value, mode="eval").body))


def _shown(value) -> str:
    return json.dumps(value, ensure_ascii=False)


def _data(data: Path, folder: Path, found: Labels) -> list[str]:
    prefix, more = "img=photos", ""
    if hasattr(found, "masks"):
        places = [path.relative_to(data).as_posix() for path in (found.images, found.masks)]
        prefix = 'img_path=photos + "/{}", seg_map_path=photos + "/{}"'.format(*places)
        more = "img_suffix={}, seg_map_suffix={}, ".format(*map(json.dumps, found.suffixes))
    return [
        f"photos, labels = {_shown(str(data.resolve()))}, {_shown(str(folder.resolve()))}",
        f"classes = {_shown(found.classes)}",
        f"data = dict(data_root=labels, data_prefix=dict({prefix}), {more}"
        "metainfo=dict(classes=classes))",
    ]


def batch_size(photos: int, megabytes: int) -> int:
    """A power of two that fits the memory: at most the photos, 16 on a CPU, 64 on a GPU."""
    if torch.cuda.is_available():
        memory, most = torch.cuda.mem_get_info()[0] // 2, 64
    else:
        memory, most = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 4, 16
    most = max(1, min(photos, memory // (megabytes << 20), most))
    return 1 << (most.bit_length() - 1)


def _training(photos: int, task: str, weights: str | None) -> list[str]:
    row, plan = TASKS[task], _TUNED if weights else _SCRATCH
    batch = batch_size(photos, row.megabytes)
    steps = max(plan.steps, -(-plan.passes * photos // batch))
    steps = -(-steps // 10) * 10
    workers = min(4, max(1, (os.cpu_count() or 1) - 1))
    train, val = (
        f'dataset=dict(ann_file="{name}.{row.suffix}", **data)' for name in ("train", "val")
    )
    begin, words = _shown(weights) if weights else None, plan.words.format(row.schedules[1])
    return [
        f"train_dataloader = dict(batch_size={batch}, num_workers={workers}, {train})",
        f"val_dataloader = test_dataloader = dict(num_workers={workers}, {val})",
        f"train_cfg = dict(max_iters={steps}, val_interval={steps // 10})  # of {batch} photos",
        f"optim_wrapper = dict(optimizer=dict(lr={plan.rate * batch / 16:.2g}))",
        f"auto_scale_lr = dict(base_batch_size={batch})",
        f"load_from = {begin}  # {words}",
    ]
