"""Images and label maps in tar files, called shards: a file backend of mmengine, and a sampler.

``shards://FOLDER/NAME`` is the file NAME of the shards in FOLDER. ``FOLDER/shards.json`` lists the
tar files and where in them each file begins, so that one file is read without the others.
`engine.shards` writes both. The tar files lie in FOLDER, or at an address that mmengine can read:
then each is fetched when it is needed, and kept below ``$MIXNET_DENSE_CACHE`` (see
`files.cache_folder`) until newer ones need its space.
"""

import functools
import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import torch
from mmengine import fileio
from mmengine.dataset import DefaultSampler
from mmengine.fileio import BaseStorageBackend, register_backend

from mixnet_dense.errors import InputError, first_line
from mixnet_dense.files import cache_folder, is_outside, read_json, written_whole
from mixnet_dense.registry import DATA_SAMPLERS

SCHEME, INDEX = "shards://", "shards.json"
_TRIES = 3  # to fetch a shard, or to open one that other processes removed


def local(path: str) -> str:
    """A path of a dataset without ``shards://``: where its annotations are."""
    return str(path).removeprefix(SCHEME)


class Shards:
    """The shards of a folder.

    Attributes:
        files: the number of the shard, the offset and the size in bytes, by name.

    Raises:
        InputError: ``shards.json`` is not there or is no index.
    """

    def __init__(self, folder: Path):
        self.folder, self.index = folder, folder / INDEX
        content = read_json(self.index)
        try:
            self._url, self._limit = str(content["url"]), content["cache_gb"] * 1e9
            self.shards = [(row["name"], row["size"]) for row in content["shards"]]
            self.files = {
                name: (number, *map(int, place))
                for number, row in enumerate(content["shards"])
                for name, place in row["files"].items()
            }
            if any(is_outside(name) or size < 0 for name, size in self.shards):
                raise ValueError("a shard outside its folder, or of a negative size")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"{self.index}: is not an index of shards ({error!r})") from error
        kept = hashlib.sha256(self._url.encode()).hexdigest()[:12]
        self._place = cache_folder() / "shards" / kept if self._url else folder

    def check(self, paths: Sequence[str], annotations: str) -> None:
        """Check that files are in shards, and shards in their folder as long as the index says.

        Raises:
            InputError: the first that is not.
        """
        missing = [path for path in paths if find(path)[1] not in self.files]
        if missing:
            raise InputError(
                f"{annotations}: {len(missing)} of {len(paths)} files are in no shard of "
                f"{self.folder}, first {find(missing[0])[1]}"
            )
        for name, size in () if self._url else self.shards:
            path = self._place / name
            if not path.is_file():
                raise InputError(f"{path}: not there, {self.index} lists it")
            self._check_size(str(path), path.stat().st_size, size)

    def read(self, name: str) -> bytes:
        """A file's content.

        Raises:
            InputError: it is in no shard, or its shard is gone, cut off or cannot be fetched.
        """
        if name not in self.files:
            raise InputError(f"{name}: is in no shard of {self.folder}")
        number, offset, size = self.files[name]
        path = self._place / self.shards[number][0]
        for _ in range(_TRIES):
            if self._url:
                self._fetch(number, path)
            with suppress(FileNotFoundError), open(path, "rb") as file:  # the cache loses old ones
                file.seek(offset)
                content = file.read(size)
                if len(content) != size:
                    raise InputError(f"{path}: is cut off, {name} is not whole in it")
                return content
        raise InputError(f"{path}: is no longer there")

    def _check_size(self, path: str, found: int, size: int) -> None:
        if found != size:
            raise InputError(f"{path}: has {found} bytes, {self.index} says {size}: is it cut off?")

    def _fetch(self, number: int, path: Path) -> None:
        """See that a shard is in the cache, and newer there than what was not used since."""
        import fcntl  # Windows has none

        with suppress(FileNotFoundError):
            return os.utime(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path.with_suffix(".lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # other data workers want the same shard
            if path.is_file():
                return
            url, size = f"{self._url.rstrip('/')}/{path.name}", self.shards[number][1]
            content = _download(url)
            self._check_size(url, len(content), size)
            self._make_room(size)
            with written_whole(path) as partial:
                partial.write_bytes(content)

    def _make_room(self, size: int) -> None:
        """Remove the shards that were not used for longest."""
        kept = []
        for path in self._place.glob("[!.]*.tar"):
            with suppress(FileNotFoundError):
                kept.append((path.stat().st_mtime_ns, path.stat().st_size, path))
        size += sum(row[1] for row in kept)
        for _, less, path in sorted(kept):
            if size <= self._limit:
                return
            path.unlink(missing_ok=True)
            size -= less


def _download(url: str) -> bytes:
    for left in reversed(range(_TRIES)):
        try:
            return fileio.get(url)
        except (OSError, ImportError) as error:  # ImportError: petrel's client is not installed
            if not left:
                raise InputError(f"{url}: cannot be fetched: {first_line(error)}") from error
    raise AssertionError


_opened = functools.lru_cache(Shards)


@functools.lru_cache
def _folder(path: str) -> Path | None:
    return next((up for up in (Path(path), *Path(path).parents) if (up / INDEX).is_file()), None)


def find(path: str) -> tuple[Shards, str]:
    """The shards that ``shards://FOLDER/NAME`` is in, and NAME.

    Raises:
        InputError: see `Shards`; or no folder above has an index.
    """
    place = os.path.abspath(local(path))
    folder = _folder(os.path.dirname(place)) or _folder(place)
    if folder is None:
        raise InputError(
            f"{path}: no {INDEX} in its folders; mixnet-dense prepare-data shards writes it"
        )
    return _opened(folder), os.path.relpath(place, folder)


@register_backend("shards", prefixes="shards", force=True)
class ShardBackend(BaseStorageBackend):
    """What mmengine, mmdet and mmseg call to read ``shards://…``."""

    def get(self, filepath: str) -> bytes:
        shards, name = find(filepath)
        return shards.read(name)

    def get_text(self, filepath: str, encoding: str = "utf-8") -> str:
        return self.get(filepath).decode(encoding)

    @contextmanager
    def get_local_path(self, filepath: str) -> Iterator[str]:
        """Annotations lie beside the shards, in no tar file."""
        if not os.path.exists(path := local(filepath)):
            raise InputError(f"{path}: not there")
        yield path

    def join_path(self, filepath: str, *filepaths: str) -> str:
        given = [path for path in filepaths if path.startswith(SCHEME)]
        return given[-1] if given else os.path.join(filepath, *filepaths)

    def list_dir_or_file(
        self, dir_path: str, list_dir=True, list_file=True, suffix=None, recursive=False
    ) -> Iterator[str]:
        """All files in or below a folder that end so, whatever ``list_dir`` and ``recursive``."""
        shards, name = find(dir_path)
        start = "" if name == "." else f"{name}/"
        for each in shards.files:
            if each.startswith(start) and each.endswith(suffix or ""):
                yield each.removeprefix(start)


@DATA_SAMPLERS.register_module()
class ShardSampler(DefaultSampler):
    """Reads shard after shard, in another order in each epoch, and mixes what is near.

    Each process has a part of the shards and exactly its share of the images. An image is at most
    ``buffer`` images before or after the place that its shard gives it.

    Args:
        dataset: whose ``img_path`` are in shards.
        buffer: how far images are mixed.
        **options: of mmengine's DefaultSampler: ``seed``, ``round_up``.

    Raises:
        InputError: images are in no shard.
    """

    def __init__(self, dataset, buffer: int = 2000, **options):
        super().__init__(dataset, **options)
        self._buffer = buffer
        paths = [dataset.get_data_info(index)["img_path"] for index in range(len(dataset))]
        if not paths[0].startswith(SCHEME):
            raise InputError(f"ShardSampler: {paths[0]} is in no shard, set data_root='shards://…'")
        numbers = torch.tensor([shards.files[name][0] for shards, name in map(find, paths)])
        self._shards = [torch.nonzero(numbers == each)[:, 0] for each in numbers.unique()]

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        shards = torch.randperm(len(self._shards), generator=generator).tolist()
        order = torch.cat([self._shards[number] for number in shards])
        order = order.repeat(-(-self.total_size // len(order)))[: self.total_size]
        own = order.tensor_split(self.world_size)[self.rank]
        place = torch.arange(len(own)) + self._buffer * torch.rand(len(own), generator=generator)
        return iter(own[place.argsort()].tolist())
