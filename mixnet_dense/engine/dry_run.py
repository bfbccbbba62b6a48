"""A training in small: does all of it work, how long will it take, what will it write?"""

import contextlib
import copy
import shutil
import sys
import tempfile
import time
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.dist import is_distributed
from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import Runner

from mixnet_dense.engine.runner import work_dir_name
from mixnet_dense.engine.stopping import save_step
from mixnet_dense.engine.train import train
from mixnet_dense.errors import InputError, Stopped
from mixnet_dense.weights.load import latest_checkpoint


class _Trial(Hook):
    """Ends a training after one step, which is saved; a resumed one after a batch of validation."""

    priority = "LOWEST"

    def __init__(self):
        self.seconds: list[float] = []  # of each step, without loading its images
        self.steps = self.kept = 0
        self.checkpoint = ""

    def before_train_iter(self, runner: Runner, batch_idx, data_batch=None) -> None:
        self._begin = time.monotonic()

    def after_train_iter(self, runner: Runner, batch_idx, data_batch=None, outputs=None) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.seconds.append(time.monotonic() - self._begin)
        self.steps = runner.max_iters
        hooks = [hook for hook in runner.hooks if isinstance(hook, CheckpointHook)]
        self.kept = sum(max(hook.max_keep_ckpts, 1) + bool(hook.save_best) for hook in hooks)
        if len(self.seconds) == 1:
            self.checkpoint = save_step(runner, runner.iter + 1)
        elif loop := runner.val_loop:
            runner.model.eval()
            loop.run_iter(0, next(iter(loop.dataloader)))
        raise Stopped(0)


def dry_run(config: Config, folder: str | None = None, **options) -> list[str]:
    """Train two steps, the second of them resumed, and validate a batch, in a temporary folder.

    Args:
        config, folder, **options: of `train.train`; nothing is written to ``folder``.

    Returns:
        Lines: memory, times, and what would be written where.

    Raises:
        InputError: as `train.train`; or this is one of several processes.
    """
    if is_distributed():
        raise InputError("--dry-run: runs on one process")
    folder, trial, config = work_dir_name(config, folder), _Trial(), copy.deepcopy(config)
    config.visualizer = dict(type="Visualizer", name="dry run")  # writes nothing
    resume = options.pop("resume", None)
    with tempfile.TemporaryDirectory(prefix="dry-run-") as own:
        for given in (latest_checkpoint(folder) if resume == "auto" else resume, "auto"):
            with contextlib.suppress(Stopped):
                train(config, own, resume=given, hooks=[trial], **options)
        size = Path(trial.checkpoint).stat().st_size / 2**20
    seconds = trial.seconds[-1]
    validation = " and a batch of validation" * bool(config.get("val_dataloader"))
    return [
        f"two steps, the second after resuming from a checkpoint{validation}: all work",
        f"peak memory {_peak():.0f} MiB" + " of the GPU" * torch.cuda.is_available(),
        f"{seconds:.2f} s a step without loading its images: the {trial.steps} steps take "
        f"{_duration(seconds * trial.steps)} or more, without validation",
        f"{folder}: logs and up to {trial.kept} checkpoints of {size:.1f} MiB would be written "
        f"there; {_free(folder):.0f} MiB are free",
    ]


def _peak() -> float:
    """The largest memory so far in MiB, of the GPU, else of this process; without data workers."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    import resource  # Windows has none

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def _duration(seconds: float) -> str:
    return f"{seconds / 3600:.1f} hours" if seconds > 3600 else f"{seconds / 60:.1f} minutes"


def _free(folder: str) -> float:
    """MiB on the file system of a folder, which need not be there yet."""
    place = Path(folder).resolve()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free / 2**20
