"""mmengine's runner, made to survive: resuming exactly, whole checkpoints, lost logs."""

import logging
import os
import sys
from pathlib import Path

from mmengine.dist import master_only
from mmengine.fileio import LocalBackend
from mmengine.hooks import CheckpointHook, Hook, LoggerHook
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from mixnet_dense.engine.resume import LOOPS, Loader, seed_all, validates
from mixnet_dense.engine.unreadable import SHARE, SturdyDataset
from mixnet_dense.errors import InputError, first_line
from mixnet_dense.files import remove_leftovers, written_whole
from mixnet_dense.weights.load import latest_checkpoint


class SturdyRunner(Runner):
    """mmengine's runner over `resume.Loader` and the loops of `resume`.

    A checkpoint is written whole or not at all, and an old one is deleted after that. A log that
    cannot be written is warned of, and the training goes on. Several trainings in one process have
    a log each.

    Raises:
        InputError: a checkpoint cannot be written; the line names the newest whole one.
    """

    def __init__(self, *args, **options):
        self.outdated: list[str] = []  # checkpoints to delete after the next is written
        self._log_lost, self._tests = False, True
        super().__init__(*args, **options)

    def build_visualizer(self, visualizer=None):
        if isinstance(visualizer, dict):  # of one name mmengine keeps the first, and its folder
            visualizer = dict(visualizer, name=self.log_dir)
        return super().build_visualizer(visualizer)

    def build_dataloader(self, dataloader, seed=None, diff_rank_seed=False) -> DataLoader:
        built = super().build_dataloader(dataloader, seed, diff_rank_seed)
        share = (self.cfg.get("survival") or {}).get("max_unreadable", SHARE)
        return Loader.of(built, SturdyDataset(built.dataset, share, self._tests), self.seed)

    def build_train_loop(self, loop):
        self._tests = False
        built = super().build_train_loop(loop)
        self._tests = True
        built.__class__ = LOOPS.get(type(built), type(built))  # they differ in methods only
        return built

    def build_val_loop(self, loop):
        return _strict(super().build_val_loop(loop))

    def build_test_loop(self, loop):
        return _strict(super().build_test_loop(loop))

    @master_only
    def save_checkpoint(self, out_dir: str, filename: str, *args, **options) -> None:
        path = Path(out_dir, filename)
        if "://" in str(out_dir):
            return super().save_checkpoint(out_dir, filename, *args, **options)
        try:
            with written_whole(path) as partial:
                super().save_checkpoint(str(partial.parent), partial.name, *args, **options)
        except InputError as error:
            newest = latest_checkpoint(out_dir) or "none"
            raise InputError(f"{error}; the newest whole checkpoint is {newest}") from error
        while self.outdated:
            old = Path(self.outdated.pop())
            if old != path:
                old.unlink(missing_ok=True)

    def call_hook(self, fn_name: str, **options) -> None:
        for hook in self._hooks:
            try:
                getattr(hook, fn_name, lambda *_, **__: None)(self, **options)
            except OSError as error:
                if not isinstance(hook, LoggerHook):
                    raise
                self.warn_of_log(error)

    def warn_of_log(self, error: BaseException) -> None:
        """Say once that a log could not be written."""
        if not self._log_lost:
            self._log_lost = True
            self.logger.warning(f"a log cannot be written, training goes on: {first_line(error)}")


def _strict(loop):
    """A loop that loses no image, if one of its metrics would count another in its place."""
    if not all(getattr(metric, "leaves_out", False) for metric in loop.evaluator.metrics):
        loop.dataloader.dataset.allow_none()
    return loop


class SeedHook(Hook):
    """Seeds every step, and notes when the last validation was."""

    def before_train_iter(self, runner: Runner, batch_idx, data_batch=None) -> None:
        seed_all((runner.seed, runner.rank, runner.iter))

    def after_val_epoch(self, runner: Runner, metrics=None) -> None:
        runner.message_hub.update_info("last_validation", runner.iter)


class ResumeHook(Hook):
    """Prepares the other hooks, and makes up for a validation that an interruption left out."""

    priority = "LOWEST"  # the others are ready

    def before_train(self, runner: SturdyRunner) -> None:
        remove_leftovers(runner.work_dir)
        for handler in runner.logger.handlers:
            if isinstance(handler, logging.FileHandler):
                handler.handleError = lambda _: runner.warn_of_log(sys.exc_info()[1])
        info = runner.message_hub.runtime_info
        for hook in runner.hooks:
            if isinstance(hook, CheckpointHook) and isinstance(hook.file_backend, LocalBackend):
                hook.file_backend = _Later(runner.outdated)
                hook.last_ckpt = info.get("last_ckpt")  # saved again with a new best score
        if info.get("stopped_at"):  # see stopping.save_step
            runner.outdated.append(os.path.join(runner.work_dir, info["stopped_at"]))
            runner.message_hub.update_info("stopped_at", "")
        loop = runner.train_loop
        loop._decide_current_val_interval()
        if validates(loop) and info.get("last_validation") != loop.iter:
            runner.val_loop.run()


class _Later(LocalBackend):
    """Files are deleted later: CheckpointHook deletes the old before it writes the new."""

    def __init__(self, outdated: list[str]):
        super().__init__()
        self._outdated = outdated

    def remove(self, filepath) -> None:
        self._outdated.append(str(filepath))
