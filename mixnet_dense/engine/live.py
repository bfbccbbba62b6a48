"""One live line while training runs on a terminal."""

import sys
import time

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mixnet_dense.registry import HOOKS

_EVERY = 0.5  # seconds between two looks at the losses


@HOOKS.register_module()
class LiveProgressHook(Hook):
    """Epoch, iteration, losses, learning rate and time left in one line that stays in place.

    Only on a terminal and on the first process. Piped output has the plain lines of
    mmengine's LoggerHook, which on a terminal scroll by above the live line.
    """

    priority = "VERY_LOW"

    def __init__(self) -> None:
        self._progress = self._task = None
        self._streams: list = []  # the logger's handlers and where they wrote before
        self._shown = 0.0

    def before_train(self, runner: Runner) -> None:
        if runner.rank or not sys.stdout.isatty():
            return
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress = Progress(
            TextColumn("epoch {task.fields[epoch]}  iteration {task.completed}/{task.total}"),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[values]}"),
            TimeRemainingColumn(),
            TextColumn("left"),
            transient=True,
        )
        self._task = self._progress.add_task(
            "train", total=runner.max_iters, completed=runner.iter, epoch="", values=""
        )
        self._progress.start()
        # The logger's own stream was opened before rich took over the terminal.
        for handler in runner.logger.handlers:
            if getattr(handler, "stream", None) in (sys.__stdout__, sys.__stderr__):
                self._streams.append((handler, handler.setStream(sys.stdout)))

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        now = time.monotonic()
        last = runner.iter + 1 == runner.max_iters
        # Reading a loss waits for the GPU: not in every iteration.
        if self._progress is None or (now - self._shown < _EVERY and not last):
            return
        self._shown = now
        losses = [f"{name} {float(value):.3f}" for name, value in (outputs or {}).items()]
        rate = runner.optim_wrapper.get_lr()["lr"][0]
        self._progress.update(
            self._task,
            completed=runner.iter + 1,
            epoch=f"{runner.epoch + 1}/{runner.max_epochs}",
            values="  ".join([*losses, f"lr {rate:.2e}"]),
        )

    def after_train(self, runner: Runner) -> None:
        self.close(runner)

    def close(self, runner: Runner) -> None:
        """Give the terminal back; also called when training is interrupted."""
        if self._progress is None:
            return
        self._progress.stop()
        self._progress = None
        for handler, stream in self._streams:
            handler.setStream(stream)
        self._streams.clear()
