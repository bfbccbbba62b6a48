"""mmengine's runner from a config, on one process or several."""

import copy
import inspect
import os
from collections.abc import Sequence
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import init_dist, is_distributed
from mmengine.fileio import join_path
from mmengine.runner import Runner
from mmengine.utils.dl_utils import set_multi_processing
from torch import nn

from mixnet_dense.engine.check import check_before_scoring
from mixnet_dense.engine.config import check_files, datasets, slips_named
from mixnet_dense.engine.settings import kind_of
from mixnet_dense.engine.survival import SturdyRunner
from mixnet_dense.errors import InputError


def launch(config: Config, launcher: str) -> None:
    """Join the processes that a launcher started; call it before anything is on a GPU.

    With GPUs mmengine does it, as the config's ``env_cfg`` says. Without GPUs the processes
    of torchrun communicate by gloo.

    Args:
        launcher: ``'none'`` for a single process, ``'pytorch'`` for torchrun, ``'slurm'`` or
            ``'mpi'``.

    Raises:
        InputError: torchrun did not start this process; or the launcher needs GPUs.
    """
    if launcher == "none" or is_distributed():
        return
    without_gpu = get_device() == "cpu"
    if without_gpu and launcher != "pytorch":
        raise InputError(f"--launcher {launcher}: needs GPUs; without, use torchrun and pytorch")
    if launcher == "pytorch":
        check_torchrun()
    environment = config.get("env_cfg") or {}
    set_multi_processing(**environment.get("mp_cfg", {}), distributed=True)
    if without_gpu:
        torch.distributed.init_process_group("gloo")
    else:
        init_dist(launcher, **environment.get("dist_cfg", {}))


def check_torchrun() -> None:
    """Check that torchrun started this process.

    Raises:
        InputError: it did not.
    """
    if "RANK" not in os.environ:
        raise InputError("--launcher pytorch: start it with torchrun --nproc_per_node N")


def work_dir_name(config: Config, given: str | None) -> str:
    """Where logs and checkpoints go: as given, as the config says, or work_dirs/NAME."""
    name = Path(config.filename or "unnamed").stem
    return given or config.get("work_dir") or str(Path("work_dirs") / name)


def work_dir(config: Config, given: str | None) -> str:
    """As `work_dir_name`; the folder is made."""
    folder = work_dir_name(config, given)
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--work-dir {folder}: {error.strerror}") from error
    return folder


def train_runner(config: Config) -> Runner:
    """A runner with model and data ready for training.

    Raises:
        InputError: the config has a name that the registries do not know or an argument that
            a module does not take; or annotations do not fit the config.
    """
    config = completed(config)
    wrapper = config.get("model_wrapper_cfg") or {}
    if is_distributed() and kind_of(wrapper) in ("", "MMDistributedDataParallel"):
        own = dict(  # as mmengine's; without a GPU's number where there is none
            type="MMDistributedDataParallel",
            broadcast_buffers=False,
            find_unused_parameters=config.get("find_unused_parameters", False),
            **({"device_ids": None} if get_device() == "cpu" else {}),
        )
        config.model_wrapper_cfg = own | dict(wrapper)
        counts = (config.get("optim_wrapper") or {}).get("accumulative_counts", 1)
        if wrapper.get("static_graph") and counts > 1:  # an assertion of torch's fails
            raise InputError(
                "model_wrapper_cfg.static_graph: does not go with optim_wrapper."
                f"accumulative_counts={counts}; leave out one of them"
            )
    with slips_named("config"):
        runner = SturdyRunner.from_cfg(config)
        loops = [runner.train_loop, runner.val_loop]
    if loops[0] is None:
        raise InputError("the config has no train_dataloader, train_cfg and optim_wrapper")
    _check_data(runner, [loop for loop in loops if loop])
    with slips_named("config"):
        _build_optimizer(runner)
    return runner


def _build_optimizer(runner: Runner) -> None:
    """Build the optimizer now, and schedulers to throw away: else the training would find slips."""
    wrapper = runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    if runner.param_schedulers:
        runner.optim_wrapper = copy.deepcopy(wrapper)  # schedulers write into it
        runner.build_param_scheduler(copy.deepcopy(runner.param_schedulers))
        runner.optim_wrapper = wrapper


class _TestRunner(SturdyRunner):
    """Does not wrap the model: in a test, processes share no gradients."""

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        return model

    def test(self) -> dict[str, float]:
        with workers_errors_named():
            return super().test()


def test_runner(config: Config, model: nn.Module, folder: str | None) -> Runner:
    """A runner that is ready to test a model.

    Args:
        config, model, folder: see `evaluate.evaluate`.

    Raises:
        InputError: as `train_runner`; missing files; no test set; or a model of other classes.
    """
    check_files(config, ("test",))
    config = completed(config)
    check_before_scoring(config)
    config.work_dir = work_dir(config, folder)
    config.load_from, config.resume = None, False
    names = inspect.signature(Runner).parameters.keys() - {"model", "cfg"}
    with slips_named("config"):
        options = {name: config[name] for name in names if name in config}
        runner = _TestRunner(model=model, cfg=config, **options)
        loop = runner.test_loop
    if loop is None:
        raise InputError("the config has no test_dataloader, test_cfg and test_evaluator")
    _check_data(runner, [loop])
    trained = getattr(bare_model(model), "dataset_meta", None) or {}
    if trained.get("classes"):
        own = loop.dataloader.dataset.metainfo["classes"]
        check_same_classes("the dataset", own, "the checkpoint", trained["classes"])
    return runner


def completed(config: Config) -> Config:
    """A copy with what the runner needs and the config may leave out.

    ``launcher`` tells mmengine whether there are several processes. A CocoMetric without
    ``ann_file`` takes the annotation file of its split's CocoDataset.
    """
    config = copy.deepcopy(config)
    config.launcher = "pytorch" if is_distributed() else "none"
    for split in ("val", "test"):
        metrics = config.get(f"{split}_evaluator") or []
        for metric in [metrics] if isinstance(metrics, dict) else metrics:
            for dataset in datasets(config, (split,)):
                coco = kind_of(metric) == "CocoMetric" and kind_of(dataset) == "CocoDataset"
                if coco and not metric.get("ann_file"):
                    metric.ann_file = join_path(dataset.get("data_root") or "", dataset.ann_file)
                    metric.setdefault("backend_args", dataset.get("backend_args"))
    return config


def _check_data(runner: Runner, loops: Sequence) -> None:
    """Check that each loop has a batch, and that all datasets and the head have equal classes."""
    for loader in (loop.dataloader for loop in loops):
        if len(loader) == 0:  # it would train nothing
            size = loader.batch_sampler.batch_size
            raise InputError(f"{len(loader.dataset)} images are fewer than a batch of {size}")
    lists = [tuple(loop.dataloader.dataset.metainfo.get("classes", ())) for loop in loops]
    for classes in lists[1:]:
        check_same_classes("the validation dataset", classes, "the training dataset", lists[0])
    model = bare_model(runner.model)
    heads = [name for name in ("bbox_head", "decode_head") if getattr(model, name, None)]
    head = getattr(model, heads[0]) if heads else model  # a classifier is its own
    count = getattr(head, "num_classes", None)  # a cascade's list of heads has none
    if (heads or lists[0]) and count is not None and len(lists[0]) != count:
        raise InputError(
            f"the dataset has {len(lists[0])} classes, the head num_classes={count}; set "
            f"{'.'.join(['model', *heads])}.num_classes={len(lists[0])}, or "
            "metainfo=dict(classes=(...)) in the datasets"
        )


def bare_model(model: nn.Module) -> nn.Module:
    """The model without wrappers for several processes or test-time augmentation."""
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


@contextmanager
def workers_errors_named():
    """Give an InputError of a data worker as it was raised there, without the worker's traceback.

    Raises:
        InputError: the same line.
    """
    try:
        yield
    except InputError as error:
        lines = str(error).splitlines()
        if not lines[0].startswith("Caught InputError in DataLoader worker"):
            raise
        last = [line for line in lines if line.startswith("mixnet_dense.errors.InputError: ")][-1]
        raise InputError(last.partition(": ")[2]) from error
