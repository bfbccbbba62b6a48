"""A short config for someone's own photos: classes, paths, batch size, length, learning rate."""

import ast
import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import torch

from mixnet_dense.data.folder import Labels, Photo
from mixnet_dense.data.formats import read
from mixnet_dense.data.pictures import content_key
from mixnet_dense.errors import InputError
from mixnet_dense.files import check_writable, write_json

SHARE = 0.2  # of the photos for validation
_SEED = "0"
_OWN = "_finetune"  # ends the name of a config for own photos


class Plan(NamedTuple):
    """``passes`` over the photos, at least ``steps``; the learning rate for 16 images a step."""

    schedule: str
    passes: int
    steps: int
    rate: float


class Task(NamedTuple):
    """A model fits if its config's data set is one of ``trained``; ``data`` replaces it.

    ``plans`` are for a training from scratch and from weights. ``megabytes`` are what a training
    image takes at the input size of ``data``, with MobileNetV3-Large. ``suffix`` is of the files
    that list the photos of a split.
    """

    trained: Sequence[str]
    data: str
    head: str
    megabytes: int
    suffix: str
    model: str
    plans: Mapping[bool, Plan]


_SCRATCH, _TUNED = Plan("own_data", 100, 600, 1e-3), Plan("finetune", 10, 100, 5e-4)
TASKS = {
    "detection": Task(
        trained=("coco", "coco_by_id"), data="own_coco", head="bbox_head", megabytes=150,
        suffix="json", model="ssdlite_mobilenetv3_large", plans={False: _SCRATCH, True: _TUNED},
    ),
    "segmentation": Task(
        trained=("cityscapes", "voc"), data="own_masks", head="decode_head", megabytes=400,
        suffix="txt", model="lraspp_mobilenetv3_large", plans={
            False: _SCRATCH._replace(schedule="own_masks"),
            True: _TUNED._replace(schedule="finetune_masks"),
        },
    ),
}  # fmt: skip


class Request(NamedTuple):
    """What to write a config for.

    Attributes:
        data: the folder of photos; it is not changed.
        task: a key of `TASKS`.
        model: the name of a config in ``configs``; the task's own by default.
        out: the config to write; the labels go into a folder beside it.
        configs: this project's ``configs/``.
        weights: for ``load_from``, to fine-tune them.
    """

    data: Path
    task: str
    model: str | None
    out: Path
    configs: Path
    weights: str | None = None


def write_config(request: Request) -> list[str]:
    """Read the labels, write them as COCO's json or as lists, and a config of 15 lines at most.

    Returns:
        Lines that say what was found, left out and written.

    Raises:
        InputError: see `formats.read` and `masks.read_pairs`; a model that does not fit the task;
            or a target that is there already or lies in the user's folder.
    """
    folder = request.out.with_name(f"{request.out.stem}_labels")
    for path in (request.out, folder):
        if path.exists():
            raise InputError(f"{path}: is there already; remove it or give another --out")
        if request.data.resolve() in path.resolve().parents:
            raise InputError(f"--out {path}: lies in the folder of the photos, {request.data}")
    model, bases = _model(request)
    found = _read(request)
    splits = split(found.photos)
    check_writable(str(folder / "train"))
    for name, photos in splits.items():
        path = folder / f"{name}.{TASKS[request.task].suffix}"
        if request.task == "detection":
            write_json(str(path), coco_rows(photos, found.classes, request.data))
        else:
            path.write_text("".join(f"{found.name(photo)}\n" for photo in photos), "utf-8")
    counts = {name: len(photos) for name, photos in splits.items()}
    request.out.write_text(_text(request, found, model, bases, counts, folder), "utf-8")
    lines = [f"{found.format} labels: " + ", ".join(f"{n} {name}" for name, n in counts.items())]
    lines += [f"{count} {what}" for what, count in found.left_out.items()]
    return [*lines, f"{request.out} and {folder}/ are written"]


def _read(request: Request) -> Labels:
    if request.task == "detection":
        return read(request.data)
    from mixnet_dense.data.masks import read_pairs  # needs mmseg, detection does not

    return read_pairs(request.data)


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


def fitting_models(configs: Path, task: str) -> dict[str, tuple[dict[str, ast.expr], list[str]]]:
    """The models of a task, by name: what their configs assign, and their bases.

    A model with a config of its own for fine-tuning, NAME_finetune.py, has that as its base.
    """
    fitting = {}
    for path in sorted(configs.glob("*.py")):
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


def _model(request: Request) -> tuple[list[str], list[str]]:
    """The lines that describe the model, with the number of classes, and the bases."""
    task, fitting = TASKS[request.task], fitting_models(request.configs, request.task)
    name = request.model or task.model
    if name not in fitting:
        known = ", ".join(fitting)
        raise InputError(f"--model {name}: for {request.task} must be one of {known}")
    lines, bases = fitting[name]
    _set(lines["model"], task.head, "num_classes", "len(classes)")
    if len(bases) == 1:
        if not request.weights:
            raise InputError(f"--model {name}: is only fine-tuned here; give --weights too")
        names = bases
    else:
        if Path(bases[1]).stem == "cityscapes":
            _set(lines["model"], "data_preprocessor", "size", "_base_.crop_size")
        plan = task.plans[bool(request.weights)]
        names = [
            bases[0],
            f"_base_/datasets/{task.data}.py",
            f"_base_/schedules/{plan.schedule}.py",
        ]
    texts = [f"{key} = {ast.unparse(value)}".replace("'", '"') for key, value in lines.items()]
    places = [_place(request.configs / name, request.out, request.configs.parent) for name in names]
    return texts, places


def _set(model: ast.Call, part: str, key: str, value: str) -> None:
    """Write ``part=dict(key=value)`` into the code ``dict(…)``."""
    parts = {keyword.arg: keyword for keyword in model.keywords}
    if part not in parts:
        parts[part] = ast.keyword(part, ast.Call(ast.Name("dict"), [], []))
        model.keywords.append(parts[part])
    inside = parts[part].value
    inside.keywords = [each for each in inside.keywords if each.arg != key]
    inside.keywords.append(ast.keyword(key, ast.parse(value, mode="eval").body))


def _place(base: Path, out: Path, project: Path) -> str:
    """A path for ``_base_``: relative within the project, else absolute."""
    base, out = base.resolve(), out.resolve()
    inside = project.resolve() in out.parents
    return Path(os.path.relpath(base, out.parent) if inside else base).as_posix()


def batch_size(photos: int, megabytes: int) -> int:
    """A power of two that fits the memory: at most the photos, 16 on a CPU, 64 on a GPU."""
    if torch.cuda.is_available():
        memory, most = torch.cuda.mem_get_info()[0] // 2, 64
    else:
        memory, most = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 4, 16
    most = max(1, min(photos, memory // (megabytes << 20), most))
    return 1 << (most.bit_length() - 1)


def _text(request: Request, found: Labels, model, bases, counts: dict, folder: Path) -> str:
    task = TASKS[request.task]
    plan = task.plans[bool(request.weights)]
    batch = batch_size(counts["train"], task.megabytes)
    steps = max(plan.steps, -(-plan.passes * counts["train"] // batch))
    steps = -(-steps // 10) * 10
    workers = min(4, max(1, (os.cpu_count() or 1) - 1))
    prefix, more = "img=photos", ""
    if request.task == "segmentation":
        places = [path.relative_to(request.data).as_posix() for path in (found.images, found.masks)]
        prefix = 'img_path=photos + "/{}", seg_map_path=photos + "/{}"'.format(*places)
        more = "img_suffix={}, seg_map_suffix={}, ".format(*map(json.dumps, found.suffixes))
    chosen = "trained from nothing"
    if request.weights:
        chosen = f"fine-tuned as schedules/{plan.schedule}.py says: batch norm keeps its statistics"
    shown = {name: json.dumps(value, ensure_ascii=False) for name, value in {
        "bases": bases, "classes": found.classes, "photos": str(request.data.resolve()),
        "labels": str(folder.resolve()), "weights": request.weights,
    }.items()}  # fmt: skip
    lists = [f'dataset=dict(ann_file="{name}.{task.suffix}", **data)' for name in ("train", "val")]
    lines = [
        f"# {request.data.name}: {counts['train']} photos to train, {counts['val']} to validate.",
        f"#   python tools/train.py {request.out.name}",
        f"_base_ = {shown['bases']}",
        f"photos, labels = {shown['photos']}, {shown['labels']}",
        f"classes = {shown['classes']}",
        *model,
        f"data = dict(data_root=labels, data_prefix=dict({prefix}), {more}"
        "metainfo=dict(classes=classes))",
        f"train_dataloader = dict(batch_size={batch}, num_workers={workers}, {lists[0]})",
        f"val_dataloader = test_dataloader = dict(num_workers={workers}, {lists[1]})",
        f"train_cfg = dict(max_iters={steps}, val_interval={steps // 10})  # of {batch} photos",
        f"optim_wrapper = dict(optimizer=dict(lr={plan.rate * batch / 16:.2g}))",
        f"auto_scale_lr = dict(base_batch_size={batch})",
        f"load_from = {shown['weights'] if request.weights else None}  # {chosen}",
    ]
    return "\n".join(lines) + "\n"
