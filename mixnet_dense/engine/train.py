"""Training a config, with mmengine's runner."""

from pathlib import Path

from mmengine.config import Config
from mmengine.runner import Runner

from mixnet_dense.engine.compiling import check_compiler, compile_backbone
from mixnet_dense.engine.config import (
    build_runner,
    check_files,
    unreadable_images_named,
    work_dir,
)
from mixnet_dense.engine.live import LiveProgressHook
from mixnet_dense.engine.memory import keep_freed_memory
from mixnet_dense.errors import InputError
from mixnet_dense.weights.assume import warn_pretrained
from mixnet_dense.weights.load import latest_checkpoint


def train(
    config: Config,
    folder: str | None = None,
    *,
    resume: str | None = None,
    amp: bool = False,
    compiled: bool = False,
    launcher: str = "none",
) -> None:
    """Train and evaluate as the config says.

    Args:
        config: see `setup.load_config`.
        folder: for logs and checkpoints; ``work_dirs/NAME`` by default.
        resume: a checkpoint, or ``'auto'`` for the newest complete one of ``folder``.
        amp: mixed precision (fp16 with loss scaling on a GPU, bf16 on a CPU).
        compiled: see `compiling.compile_backbone`.
        launcher: ``'none'``, ``'pytorch'``, ``'slurm'`` or ``'mpi'``.

    Raises:
        InputError: see `setup.check_files`, `setup.build_runner` and
            `compiling.check_compiler`.
    """
    keep_freed_memory()
    if compiled:
        check_compiler()
    check_files(config, ("train", "val"))
    config.work_dir = work_dir(config, folder)
    config.launcher = launcher
    if amp:
        _use_amp(config)
    if resume:
        found = latest_checkpoint(config.work_dir) if resume == "auto" else resume
        if found and not Path(found).is_file():
            raise InputError(f"--resume {found}: no such file")
        if found:  # else from the start, and from what the config loads
            config.resume, config.load_from = True, found
    runner = build_runner(config, "train")
    if compiled:
        compile_backbone(runner.model)
    if not config.get("resume"):
        warn_pretrained(config, runner.logger)
    try:
        with unreadable_images_named():
            runner.train()
    except KeyboardInterrupt:
        _close_progress(runner)
        newest = latest_checkpoint(config.work_dir) or "nothing saved yet"
        runner.logger.warning(f"interrupted; --resume goes on from {newest}")
        raise
    finally:
        _close_progress(runner)


def _close_progress(runner: Runner) -> None:
    """Give the terminal back, however training ended."""
    for hook in runner.hooks:
        if isinstance(hook, LiveProgressHook):
            hook.close(runner)


def _use_amp(config: Config) -> None:
    import torch

    if torch.cuda.is_available():
        config.optim_wrapper.type = "AmpOptimWrapper"
        config.optim_wrapper.setdefault("loss_scale", "dynamic")
    else:
        config.optim_wrapper.type = "mixnet_dense.CpuAmpOptimWrapper"
