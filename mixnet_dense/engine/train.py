"""Training a config, with mmengine's runner."""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path

from mmengine.config import Config
from mmengine.device import get_device
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mixnet_dense.checkpoints import load_file
from mixnet_dense.engine import gpu
from mixnet_dense.engine.check import check_before_training
from mixnet_dense.engine.compiling import check_compiler, compile_backbone
from mixnet_dense.engine.config import check_files
from mixnet_dense.engine.finetune import FitCheckpointHook
from mixnet_dense.engine.live import LiveProgressHook
from mixnet_dense.engine.losses import LossHook
from mixnet_dense.engine.memory import keep_freed_memory
from mixnet_dense.engine.runner import bare_model, train_runner, work_dir, workers_errors_named
from mixnet_dense.engine.settings import check_packages, check_training
from mixnet_dense.engine.stopping import Stop, StopHook
from mixnet_dense.engine.survival import ResumeHook, SeedHook
from mixnet_dense.errors import InputError, Stopped
from mixnet_dense.weights.assume import warn_pretrained
from mixnet_dense.weights.load import check_resumable, latest_checkpoint, readable_checkpoint


def train(
    config: Config,
    folder: str | None = None,
    *,
    resume: str | None = None,
    amp: bool = False,
    compiled: bool = False,
    scale_lr: bool = False,
    check: bool = True,
    hooks: Sequence[Hook] = (),
) -> None:
    """Train and evaluate as the config says, on the processes that `runner.launch` joined.

    From the checkpoint ``load_from`` comes what fits the model; see `weights.transfer`.

    Args:
        config: see `config.load_config`; it is not changed.
        folder: for logs and checkpoints; ``work_dirs/NAME`` by default.
        resume: a checkpoint, or ``'auto'`` for the newest complete one of ``folder``.
        amp: mixed precision: bf16 on a CPU and on a GPU that has it, else fp16 with loss scaling.
        compiled: see `compiling.compile_backbone`.
        scale_lr: multiply the learning rate by the images of a step, divided by the config's
            ``auto_scale_lr.base_batch_size``.
        check: look at annotations and images first; see `check.check_before_training`.
        hooks: more of them than the config's.

    Raises:
        InputError: see `config.check_files`, `check_before_training`, `runner.train_runner`,
            `compiling.check_compiler` and `transfer.fit_checkpoint`; no such checkpoint; or
            ``scale_lr`` without a ``base_batch_size``.
    """
    refused = keep_freed_memory()
    if compiled:
        check_compiler()
    check_training(config)
    check_packages(config)
    check_files(config, ("train", "val"))
    config = copy.deepcopy(config)
    config.work_dir = work_dir(config, folder)
    if amp:
        _use_amp(config)
    if resume:
        _resume(config, resume)
    if scale_lr:
        if "base_batch_size" not in (config.get("auto_scale_lr") or {}):
            raise InputError("--auto-scale-lr: the config has no auto_scale_lr.base_batch_size")
        config.auto_scale_lr.enable = True
    if check:
        check_before_training(config)
    if get_device() == "cuda":
        gpu.prepare_config(config)
    runner = train_runner(config)
    if get_device() == "cuda":
        gpu.without_waiting(runner.model)
    if config.get("resume"):
        check_resumable(config.load_from, bare_model(runner.model).state_dict())
    if refused:
        runner.logger.info(f"freed memory goes back to the system: {', '.join(refused)} refused")
    runner.logger.info(learning_rate(config, runner.world_size))
    schedulers, epoch = config.get("param_scheduler") or [], len(runner.train_dataloader)
    for line in long_warm_ups(schedulers, epoch, runner.max_iters):
        runner.logger.warning(line)
    if compiled:
        compile_backbone(runner.model)
    if not config.get("resume"):
        warn_pretrained(config, runner.logger)
        runner.register_hook(FitCheckpointHook())
    _run(runner, hooks)


def _use_amp(config: Config) -> None:
    if get_device() == "cpu":
        config.optim_wrapper.type = "mixnet_dense.CpuAmpOptimWrapper"
    else:
        gpu.use_amp(config, gpu.has_bfloat16())


def _resume(config: Config, checkpoint: str) -> None:
    if checkpoint == "auto":
        found, content = readable_checkpoint(config.work_dir)
    elif Path(checkpoint).is_file():
        found, content = checkpoint, load_file(checkpoint)
    else:
        raise InputError(f"--resume {checkpoint}: no such file")
    if not found:  # training starts from the beginning
        return
    config.resume, config.load_from = True, found
    meta = content.get("meta") if isinstance(content, dict) else None
    if isinstance(meta, dict) and "seed" in meta:  # a seed that the config leaves to chance
        config.randomness = {"seed": meta["seed"], **_given(config.get("randomness"))}


def _given(options: Mapping | None) -> dict:
    return {name: value for name, value in (options or {}).items() if value is not None}


def learning_rate(config: Config, processes: int) -> str:
    """The learning rate that training begins from (a warm-up starts below it), and why."""
    batch = config.train_dataloader.batch_size * processes
    images = f"{batch} images a step ({config.train_dataloader.batch_size} x {processes} processes)"
    rate = config.optim_wrapper.get("optimizer", {}).get("lr")
    scaling = config.get("auto_scale_lr") or {}
    base = scaling.get("base_batch_size")
    if rate is None or not base:
        return f"learning rate {rate}, as in the config, for {images}"
    scaled = f"{rate * batch / base:.6g}"
    if scaling.get("enable"):
        return f"learning rate {scaled} for {images}: the config's {rate} is for {base}"
    advice = "" if batch == base else f"; --auto-scale-lr would make it {scaled}"
    return f"learning rate {rate} for {images}, as in the config, where it is for {base}{advice}"


def long_warm_ups(schedulers: Sequence[Mapping] | Mapping, epoch: int, steps: int) -> list[str]:
    """A line for each warm-up of the learning rate that is longer than a tenth of the training.

    Args:
        schedulers: the config's ``param_scheduler``.
        epoch, steps: the steps of an epoch and of the whole training.

    Raises:
        InputError: a scheduler without an end begins after the training.
    """
    lines = []
    for scheduler in [schedulers] if isinstance(schedulers, Mapping) else schedulers:
        unit = epoch if scheduler.get("by_epoch", True) else 1
        begin, end = unit * scheduler.get("begin", 0), unit * scheduler.get("end", 0)
        if begin >= steps and not end:
            raise InputError(
                f"param_scheduler: {scheduler['type']} begins at step {begin}, the training has "
                f"{steps} steps"
            )
        growing = scheduler.get("start_factor", 1) < scheduler.get("end_factor", 1)
        if growing and 10 * end > steps:
            lines.append(
                f"warm-up takes {end} of {steps} steps, more than a tenth of the training: the "
                "learning rate is low for too long. Train longer or set a smaller end in "
                "param_scheduler; _base_/schedules/finetune.py is for little data"
            )
    return lines


def _run(runner: Runner, hooks: Sequence[Hook]) -> None:
    stop = Stop()
    skips = (runner.cfg.get("survival") or {}).get("skip_bad_losses", 0)
    for hook in (SeedHook(), LossHook(skips), ResumeHook(), StopHook(stop), *hooks):
        runner.register_hook(hook)
    try:
        with workers_errors_named(), stop:
            runner.train()
    except Stopped:
        raise
    except RuntimeError as error:
        if stop.number and runner.rank:  # the first of several processes has saved and ended
            raise Stopped(stop.number) from error
        raise
    except KeyboardInterrupt:
        _close_progress(runner)
        newest = latest_checkpoint(runner.work_dir) or "nothing saved yet"
        runner.logger.warning(f"interrupted; --resume goes on from {newest}")
        raise
    finally:
        _close_progress(runner)


def _close_progress(runner: Runner) -> None:
    """Give the terminal back, however training ended."""
    for hook in runner.hooks:
        if isinstance(hook, LiveProgressHook):
            hook.close(runner)
