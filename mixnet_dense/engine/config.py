"""From a config file and the command line to a runner, with bad input told in one line."""

import ast
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path

from mmengine.config import Config, ConfigDict
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader

from mixnet_dense.errors import InputError, first_line

_SPLITS = ("train", "val", "test")
# By dataset type: what to do where its files are not there.
_GET = {
    "CityscapesDataset": "unpack Cityscapes' leftImg8bit/ and gtFine/ (cityscapes-dataset.com) "
    "there and run: python tools/prepare_data.py cityscapes, or run the embedded sample with: "
    "make demo-seg",
    "CocoDataset": "put COCO 2017 (cocodataset.org) or your own data there as annotations/, "
    "train2017/ and val2017/, or run the embedded sample with: make demo",
}


def load_config(path: str, options: Sequence[str] = ()) -> Config:
    """Read a config file and apply ``key=value`` options to it.

    Args:
        path: a Python config.
        options: such as ``train_cfg.max_epochs=12`` or ``model.backbone.arch=m``.

    Raises:
        InputError: no such file, a file that is no config, or an option whose key path
            the config does not have.
    """
    if not Path(path).is_file():
        raise InputError(f"config '{path}': no such file")
    try:
        config = Config.fromfile(path)
    except (SyntaxError, NameError, KeyError, ValueError, OSError, ImportError) as error:
        raise InputError(f"config '{path}': {first_line(error)}") from error
    changes = dict(_parse_option(option) for option in options)
    for key in changes:
        _check_key(config, key)
    try:
        config.merge_from_dict(changes)
    except (TypeError, KeyError, AssertionError) as error:
        raise InputError(f"--cfg-options: {first_line(error)}") from error
    return config


def _parse_option(option: str) -> tuple[str, object]:
    key, equals, text = option.partition("=")
    if not equals or not key:
        raise InputError(f"--cfg-options '{option}': must be key=value")
    try:
        return key, ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return key, {"true": True, "false": False, "none": None}.get(text.lower(), text)


def _check_key(config: Config, key: str) -> None:
    """A key's parents must exist: ``model.backbon.arch`` is a slip, not a new branch."""
    node = config
    *parents, _ = key.split(".")
    for depth, name in enumerate(parents):
        index = name.isdigit() and isinstance(node, (list, tuple)) and int(name) < len(node)
        if not index and not (isinstance(node, (Config, dict)) and name in node):
            known = sorted(node) if isinstance(node, (Config, dict)) else f"0 to {len(node) - 1}"
            path = ".".join(parents[: depth + 1])
            raise InputError(f"--cfg-options '{key}': there is no '{path}', known here: {known}")
        node = node[int(name)] if index else node[name]


def datasets(config: Config, splits: Sequence[str] = _SPLITS) -> Iterator[ConfigDict]:
    """The dataset configs of a config's loaders, wrappers such as RepeatDataset opened."""
    for split in splits:
        loader = config.get(f"{split}_dataloader")
        dataset = loader.get("dataset") if loader else None
        while dataset is not None and "dataset" in dataset:
            dataset = dataset["dataset"]
        if dataset is not None:
            yield dataset


def check_files(config: Config, splits: Sequence[str] = _SPLITS) -> None:
    """Say what is missing before anything is built.

    Raises:
        InputError: an annotation file or image folder does not exist.
    """
    for dataset in datasets(config, splits):
        if dataset.get("backend_args"):  # remote storage; mmengine reports what is missing
            continue
        root = Path(dataset.get("data_root") or "")
        wanted = [dataset.get("ann_file"), *(dataset.get("data_prefix") or {}).values()]
        for name in filter(None, wanted):
            path = root / name
            if not path.exists():
                hint = _GET.get(dataset.type.rpartition(".")[2])
                raise InputError(f"{path}: not there" + (f"; {hint}" if hint else ""))


def work_dir(config: Config, given: str | None) -> str:
    """Where logs and checkpoints go: as given, as the config says, or work_dirs/NAME."""
    name = Path(config.filename or "unnamed").stem
    folder = given or config.get("work_dir") or str(Path("work_dirs") / name)
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--work-dir {folder}: {error.strerror}") from error
    return folder


def build_runner(config: Config, loop: str) -> Runner:
    """Build the model and the loop, ``'train'`` or ``'test'``, that is about to run.

    Raises:
        InputError: a name the registries do not know, an argument no module takes, or
            annotations that do not fit the config.
    """
    try:
        runner = Runner.from_cfg(config)
        loops = [runner.train_loop, runner.val_loop] if loop == "train" else [runner.test_loop]
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, AssertionError, OSError) as error:
        raise InputError(f"config: {type(error).__name__}: {first_line(error)}") from error
    for built in filter(None, loops):
        check_not_empty(built.dataloader)
    _check_classes([built.dataloader.dataset for built in loops if built], runner)
    return runner


def check_not_empty(loader: DataLoader) -> None:
    """Raise InputError unless the loader has a batch: fewer images would train nothing."""
    if len(loader) == 0:
        size = loader.batch_sampler.batch_size
        raise InputError(f"{len(loader.dataset)} images are fewer than a batch of {size}")


@contextmanager
def unreadable_images_named():
    """An image that cannot be decoded ends a loop with its name, not a worker's traceback.

    Raises:
        InputError: mmcv failed to load an image within the block.
    """
    try:
        yield
    except AssertionError as error:
        # A worker's error carries its traceback; the message itself is at the end.
        found = re.findall(r"failed to load image: (.+)", str(error))
        if not found:
            raise
        raise InputError(f"{found[-1]}: is not a readable image") from error


def _check_classes(built: Sequence, runner: Runner) -> None:
    """All datasets have the same classes, and the head a slot for each."""
    lists = [tuple(dataset.metainfo.get("classes", ())) for dataset in built]
    for classes in lists[1:]:
        check_same_classes("the validation dataset", classes, "the training dataset", lists[0])
    model = bare_model(runner.model)
    head = getattr(model, "bbox_head", None) or getattr(model, "decode_head", None)
    count = getattr(head, "num_classes", None)  # a cascade's list of heads has none
    if count is not None and len(lists[0]) != count:
        raise InputError(f"the dataset has {len(lists[0])} classes, the head num_classes={count}")


def bare_model(model: nn.Module) -> nn.Module:
    """The model itself, without the wrappers of other processes or test-time augmentation."""
    while hasattr(model, "module"):
        model = model.module
    return model


def check_same_classes(name: str, classes: Sequence[str], of: str, expected: Sequence[str]) -> None:
    """Raise InputError naming the first difference of two lists of class names."""
    if tuple(classes) == tuple(expected):
        return
    pairs = zip_longest(classes, expected)
    index, (found, wanted) = next((i, pair) for i, pair in enumerate(pairs) if pair[0] != pair[1])
    raise InputError(f"{name} has class {index} {found!r}, {of} {wanted!r}")
