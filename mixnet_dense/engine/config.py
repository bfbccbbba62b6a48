"""Read a config, check the files that it names, and open its model."""

import ast
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from traceback import walk_tb

from mmengine.config import Config, ConfigDict
from torch import nn

from mixnet_dense import shipped
from mixnet_dense.engine.settings import (
    NAMES,
    SPLITS,
    check_packages,
    check_places,
    check_settings,
    kind_of,
)
from mixnet_dense.errors import InputError, first_line
from mixnet_dense.export.hosted import exported_model, is_exported
from mixnet_dense.shards import local
from mixnet_dense.weights.load import load_model

# By dataset type: what to do if its files are missing.
_GET = {
    "CityscapesDataset": "unpack Cityscapes' leftImg8bit/ and gtFine/ (cityscapes-dataset.com) "
    "there and run: mixnet-dense prepare-data cityscapes, or run the embedded sample with: "
    "make demo-seg, or without a repository mixnet-dense prepare-data sample, mixnet-dense "
    "prepare-data cityscapes data/sample, mixnet-dense train lraspp_mobilenetv3_small_sample",
    "CocoDataset": "put COCO 2017 (cocodataset.org) or your own data there as annotations/, "
    "train2017/ and val2017/, or run the embedded sample with: make demo, or without a "
    "repository mixnet-dense prepare-data sample, mixnet-dense train ssdlite_mixnet_sample",
    "PascalVOCDataset": "unpack VOCtrainval_11-May-2012.tar (host.robots.ox.ac.uk/pascal/VOC) so "
    "that JPEGImages/, SegmentationClass/ and ImageSets/ are there, or give your own folders",
}
_HOSTS = {"yaml", "addict", "mmengine", "mmcv", "mmdet", "mmseg", "torch", "numpy", "pycocotools"}


# ------------------------------------------------------------------ config file


def load_config(path: str, options: Sequence[str] = ()) -> Config:
    """Read a config file and apply ``key=value`` options to it.

    Args:
        path: a Python config, or the name of one that this package ships.
        options: such as ``train_cfg.max_epochs=12`` or ``model.backbone.arch=m``.

    Raises:
        InputError: no such file, a file that is no config, or an option whose key path
            the config does not have.
    """
    file = shipped.find_config(path)
    if file is None:
        raise InputError(f"config '{path}': neither a file nor one of {shipped.configs()}")
    config = _executed(path, file)
    if "train_cfg" not in (assigned := _assigned(file)):  # a dumped config has all names
        check_places(config, assigned)
    changes = dict(_parse_option(option) for option in options)
    for key in changes:
        _check_key(config, key)
    with slips_named("--cfg-options"):
        config.merge_from_dict(changes)
    check_settings(config)
    check_places(config, changes)
    return config


def _assigned(file: Path) -> set[str]:
    """The names that a config file itself sets, without its bases."""
    rows = ast.parse(file.read_text("utf-8")).body if file.suffix == ".py" else ()
    targets = [target for row in rows if isinstance(row, ast.Assign) for target in row.targets]
    return {target.id for target in targets if isinstance(target, ast.Name)}


def _executed(path: str, file: Path) -> Config:
    """Run a config file and its bases; an error names the file and the line."""
    try:
        _check_bases(path, file.resolve())
        config = Config.fromfile(file)
        if Config._is_lazy_import(str(file)):  # types by their names, as in any other config
            config = Config(config.to_dict(), filename=config.filename)
        return config
    except (Exception, SystemExit) as error:
        if isinstance(error, InputError) or not _config_at_fault(error):
            raise
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise InputError(f"config '{path}': {_place(error)}{reason}") from error


def _check_bases(path: str, file: Path, above: Sequence[Path] = ()) -> None:
    if file in above:
        raise InputError(f"config '{path}': {file.name} is its own base, or a base of one")
    for base in Config._get_base_files(str(file)):
        base = Path(Config._get_cfg_path(base, str(file))[0]).resolve()
        if base.is_file():
            _check_bases(path, base, (*above, file))


def _place(error: BaseException) -> str:
    """``'FILE, line N: '`` of the config that was running, '' if none was."""
    place, caller = "", None
    for frame, line in walk_tb(error.__traceback__):
        if "__name__" not in frame.f_globals and caller:  # a config's own code has no name
            file = os.path.relpath(caller.f_locals.get("filename") or "")
            place = f"{file}, line {line}: "
        caller = frame
    syntax = error.__context__ if isinstance(error, SyntaxError) else None
    return f"line {syntax.lineno}: " if isinstance(syntax, SyntaxError) else place


def _parse_option(option: str) -> tuple[str, object]:
    """Unlike mmengine's DictAction it keeps spaces and reads dictionaries."""
    key, equals, text = option.partition("=")
    if not equals or not key:
        raise InputError(f"--cfg-options '{option}': must be key=value")
    try:
        return key, ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return key, {"true": True, "false": False, "none": None}.get(text.lower(), text)


def _check_key(config: Config, key: str) -> None:
    """A key's parents must exist: ``model.backbon.arch`` is a typing error, not a new key."""
    node = config
    *parents, last = key.split(".")
    if not parents and last not in config and last not in NAMES:
        raise InputError(f"--cfg-options '{key}': the config has no such name, it changes nothing")
    for depth, name in enumerate(parents):
        index = name.isdigit() and isinstance(node, (list, tuple)) and int(name) < len(node)
        if not index and not (isinstance(node, (Config, dict)) and name in node):
            known = sorted(node) if isinstance(node, (Config, dict)) else f"0 to {len(node) - 1}"
            path = ".".join(parents[: depth + 1])
            raise InputError(f"--cfg-options '{key}': there is no '{path}', known here: {known}")
        node = node[int(name)] if index else node[name]


# ------------------------------------------------------------------- bad input


@contextmanager
def slips_named(what: str):
    """Turn an error that the config caused into one line.

    Within the block the hosts build what a config names. The config caused the error if only
    code of the hosts and of this package was running, and no code of the user's. An error of
    a host counts whatever its type, since each host rejects values in its own way. An error
    of this package counts if it is a ValueError or a TypeError. Every other error passes
    unchanged, such as one in a user's own dataset or transform.

    Raises:
        InputError: ``what``, the error's type and the first line of its message.
    """
    try:
        yield
    except InputError:
        raise
    except (LookupError, NameError, SyntaxError, TypeError, ValueError, AttributeError,
            AssertionError, OSError, ImportError) as error:  # fmt: skip
        if not _config_at_fault(error):
            raise
        raise InputError(f"{what}: {type(error).__name__}: {first_line(error)}") from error


def _config_at_fault(error: BaseException) -> bool:
    """See `slips_named`."""
    if _packages(error)[-1] == "mixnet_dense" and not isinstance(error, (TypeError, ValueError)):
        return False
    known = _HOSTS | {"mixnet_dense"} | sys.stdlib_module_names
    while error is not None and known.issuperset(_packages(error)):
        error = error.__context__  # the error that it replaced
    return error is None


def _packages(error: BaseException) -> list[str]:
    """Whose code was running, outermost first; the code of a config file has no name."""
    names = [frame.f_globals.get("__name__") for frame, _ in walk_tb(error.__traceback__)]
    return [name.partition(".")[0] for name in names if name]


# -------------------------------------------------------------------- datasets


def datasets(config: Config, splits: Sequence[str] = SPLITS) -> Iterator[ConfigDict]:
    """The dataset configs of a config's loaders, without wrappers such as RepeatDataset."""
    for split in splits:
        loader = config.get(f"{split}_dataloader")
        dataset = loader.get("dataset") if loader else None
        while dataset is not None and "dataset" in dataset:
            dataset = dataset["dataset"]
        if dataset is not None:
            yield dataset


def check_files(config: Config, splits: Sequence[str] = SPLITS) -> None:
    """Check, before anything is built, that the config's local files exist.

    Raises:
        InputError: an annotation file or image folder does not exist.
    """
    for dataset in datasets(config, splits):
        root = dataset.get("data_root") or ""
        for name in places(dataset):
            path = Path(root) / name
            if _backend(dataset) != "local" or "://" in f"{root}{name}":
                continue
            if path.exists() and not path.is_file() and not path.is_dir():
                raise InputError(f"{path}: must be a file or a folder")
            if not path.exists():
                hint = _GET.get(kind_of(dataset))
                raise InputError(f"{path}: not there" + (f"; {hint}" if hint else ""))


def places(dataset: ConfigDict) -> list[str]:
    """A dataset's annotation file and folders of images, below its ``data_root``."""
    prefix = dataset.get("data_prefix") or {}  # mmpretrain's may be one text
    folders = prefix.values() if isinstance(prefix, dict) else [prefix]
    return [place for place in (dataset.get("ann_file"), *folders) if place]


def input_files(config: Config, *others: str) -> Iterator[Path]:
    """The files that a command on a config reads: these others, the config, annotations."""
    yield from map(Path, others)
    if config.filename:
        yield Path(config.filename)
    for split in SPLITS:
        metrics = config.get(f"{split}_evaluator") or ()
        for metric in [metrics] if isinstance(metrics, dict) else metrics:
            if isinstance(metric, dict) and isinstance(metric.get("ann_file"), str):
                yield Path(metric["ann_file"])
    for dataset in datasets(config):
        yield Path(local(dataset.get("data_root") or ""), dataset.get("ann_file") or "")


def ssdlite_head(config: Config) -> ConfigDict | None:
    """The part of a config for our SSDLite's head; None where the model has another."""
    head = config.model.get("bbox_head")
    return head if kind_of(head) == "SSDLiteHead" else None


def is_local(dataset: ConfigDict) -> bool:
    """Whether all of a dataset's files are said to be on this machine's disk, in folders."""
    parts = dataset.get("data_root") or "", *places(dataset)
    return _backend(dataset) == "local" and not any("://" in str(part) for part in parts)


def _backend(dataset: ConfigDict) -> str:
    return (dataset.get("backend_args") or {}).get("backend", "local")


def image_pipeline(config: Config) -> list:
    """The steps from an image file to a model's input, as the test set's pipeline has them.

    Raises:
        InputError: the config has no test set with a pipeline.
    """
    for dataset in datasets(config, ("test",)):
        if "pipeline" in dataset:
            return without_annotations(dataset.pipeline)
    raise InputError("the config has no test_dataloader.dataset.pipeline")


def without_annotations(pipeline: Sequence) -> list:
    """The pipeline without LoadAnnotations, also inside TestTimeAug."""
    kept = []
    for step in pipeline:
        if step["type"] == "TestTimeAug":
            groups = [without_annotations(group) for group in step["transforms"]]
            step = dict(step, transforms=[group for group in groups if group])
        if kind_of(step) != "LoadAnnotations":
            kept.append(step)
    return kept


# ---------------------------------------------------------------------- models


def open_model(config: Config, path: str) -> nn.Module:
    """The config's detector or segmenter with trained weights.

    Args:
        path: a checkpoint of that config's model, a work dir for its newest complete checkpoint,
            or an exported file; see `export.hosted.is_exported`.

    Returns:
        The model in eval mode, with the class names in ``dataset_meta``. It is on the GPU if
        there is one; with an exported file it stays on the CPU.

    Raises:
        InputError: see `weights.load.load_model` and `export.hosted.exported_model`; or the
            config's model cannot be built.
    """
    check_packages(config)
    with slips_named("config"):
        return (exported_model if is_exported(path) else load_model)(config, path)
