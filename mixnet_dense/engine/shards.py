"""Write the images of a config as shards; see `mixnet_dense.shards`."""

import os
import random
import shutil
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from mmengine.config import Config, ConfigDict
from mmengine.registry import init_default_scope

from mixnet_dense.engine.check import check_before_training
from mixnet_dense.engine.config import check_files, datasets, is_local
from mixnet_dense.engine.settings import SPLITS
from mixnet_dense.errors import InputError, first_line
from mixnet_dense.files import is_outside, write_json, written_whole
from mixnet_dense.progress import Progress
from mixnet_dense.registry import DATASETS
from mixnet_dense.shards import INDEX


def write_shards(
    config: Config, out: Path, megabytes: float = 256, url: str = "", cache_gb: float = 50
) -> dict[str, int]:
    """Write the images and label maps of a config's datasets into tar files, and an index.

    A label map follows its image. The images of a split are in a random order, always the same.
    Annotation files are copied.

    Args:
        config: with datasets on this disk, which are checked as before a training.
        out: folder to write; must be empty or not exist yet.
        megabytes: of images after which a shard is full.
        url: where the tar files will be read from; '' is ``out`` itself.
        cache_gb: how many gigabytes of them a machine keeps.

    Returns:
        The number of files of each split.

    Raises:
        InputError: bad data, see `check.check_before_training`; or ``out`` is not empty or cannot
            be written.
    """
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise InputError(f"--out {out}: must be an empty folder or not exist yet")
    if not (megabytes > 0 and cache_gb > 0):
        raise InputError(f"--shard-mb {megabytes:g}, --cache-gb {cache_gb:g}: must be more than 0")
    check_files(config)
    check_before_training(config)
    init_default_scope(config.get("default_scope", "mmdet"))
    found = {split: list(datasets(config, (split,))) for split in SPLITS}
    root = _root([dataset for rows in found.values() for dataset in rows])
    shards, done, counts = [], set(), {}
    for split, (dataset,) in ((split, rows) for split, rows in found.items() if rows):
        groups = [group for group in _files(dataset, root) if group[0] not in done]
        done.update(group[0] for group in groups)
        counts[split] = sum(map(len, groups))
        random.Random(0).shuffle(groups)
        shards += _written(groups, root, out, split, int(megabytes * 1e6))
        _copy_annotations(dataset, out)
    write_json(out / INDEX, dict(url=url, cache_gb=cache_gb, shards=shards))
    return counts


def index_folder(folder: Path, url: str = "", cache_gb: float = 50) -> int:
    """Write the index of tar files that something else wrote, such as webdataset's ShardWriter.

    Returns:
        The number of files in them.

    Raises:
        InputError: there are none, one is cut off, or compressed.
    """
    tars = sorted(folder.glob("*.tar"))
    if not tars:
        raise InputError(f"{folder}: no *.tar there")
    shards = [_row(path) for path in tars]
    write_json(folder / INDEX, dict(url=url, cache_gb=cache_gb, shards=shards))
    return sum(len(row["files"]) for row in shards)


def _row(path: Path) -> dict:
    """A tar file for the index: where each of its files begins, and its size, in bytes."""
    try:
        with tarfile.open(path, "r:") as tar:
            files = {row.name: (row.offset_data, row.size) for row in tar if row.isfile()}
    except (tarfile.TarError, OSError) as error:
        raise InputError(f"{path}: is not a whole tar file: {first_line(error)}") from error
    return dict(name=path.name, size=path.stat().st_size, files=files)


def _root(parts: Sequence[ConfigDict]) -> str:
    """What the names in the shards are relative to: data_root, or what is above all images."""
    if not all(map(is_local, parts)):
        raise InputError("config: its images are not on this disk")
    root = os.path.abspath(parts[0].get("data_root") or "")
    folders = [
        os.path.abspath(os.path.join(part.get("data_root") or "", place))
        for part in parts
        for place in (part.get("data_prefix") or {"": ""}).values()
    ]
    above = os.path.commonpath(folders)
    return root if os.path.commonpath([root, above]) == root else above


def _files(dataset: ConfigDict, root: str) -> list[list[str]]:
    """The image of each sample, and its label map where there is one."""
    built = DATASETS.build(dict(dataset, pipeline=[]))
    rows = map(built.get_data_info, range(len(built)))
    paths = [[row["img_path"], *filter(None, [row.get("seg_map_path")])] for row in rows]
    names = [[os.path.relpath(path, root) for path in group] for group in paths]
    outside = [name for group in names for name in group if is_outside(name)]
    if outside:
        raise InputError(f"{outside[0]}: is outside {root}")
    return names


def _written(
    groups: Sequence[list[str]], root: str, out: Path, split: str, full: int
) -> Iterator[dict]:
    progress, left = Progress(len(groups)), list(reversed(groups))
    for number in range(len(groups)):
        if not left:
            return
        path = out / f"{split}-{number:06}.tar"
        with written_whole(path) as partial, tarfile.open(partial, "w") as tar:
            while left and tar.offset < full:
                for name in left.pop():
                    _add(tar, os.path.join(root, name), name)
                progress.step()
        yield _row(path)


def _add(tar: tarfile.TarFile, path: str, name: str) -> None:
    """Add a file without its owner and time: equal images give equal shards."""
    with open(path, "rb") as file:
        row = tarfile.TarInfo(name)
        row.size = os.fstat(file.fileno()).st_size
        tar.addfile(row, file)


def _copy_annotations(dataset: ConfigDict, out: Path) -> None:
    name, root = dataset.get("ann_file"), dataset.get("data_root") or ""
    if name:
        if is_outside(name):
            raise InputError(f"ann_file={name}: must be a name below data_root")
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(os.path.join(root, name), out / name)
