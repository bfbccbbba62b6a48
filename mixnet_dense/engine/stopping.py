"""Ending a training on SIGTERM and SIGINT: after the running step, and saved."""

import os
import signal
import threading

from mmengine.hooks import CheckpointHook, EMAHook, Hook
from mmengine.runner import Runner

from mixnet_dense.errors import Stopped

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_GRACE = 30  # seconds that a data worker goes on after SIGTERM


class Stop:
    """Within the block SIGTERM and SIGINT are only noted. A second one acts as it did before.

    Attributes:
        number: the signal that came, 0 before.
    """

    def __init__(self):
        self.number, self._process, self._before = 0, os.getpid(), {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():  # no other may set handlers
            self._before = {number: signal.signal(number, self._note) for number in _SIGNALS}
        return self

    def __exit__(self, *_error) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _frame) -> None:
        if os.getpid() != self._process:  # a data worker: the running step needs its batches
            if number == signal.SIGTERM:
                signal.alarm(_GRACE)
            return
        self.number = number
        signal.signal(number, self._before[number])


class StopHook(Hook):
    """Saves the training and ends it after the step in which a signal was noted.

    Of several processes the first does so. The others cannot go on without it, and end.

    Raises:
        Stopped: a signal was noted.
    """

    priority = "LOWEST"  # the learning rate is set for the next step, checkpoints are saved

    def __init__(self, stop: Stop):
        self.stop = stop

    def after_train_iter(self, runner: Runner, batch_idx, data_batch=None, outputs=None) -> None:
        whole = getattr(runner.optim_wrapper, "should_update", lambda: True)()
        if self.stop.number and whole and not runner.rank:  # no gradients wait for more steps
            self._end(runner, runner.iter + 1)

    def after_val_iter(self, runner: Runner, batch_idx, data_batch=None, outputs=None) -> None:
        if self.stop.number and not runner.rank:
            for hook in runner.hooks:
                if isinstance(hook, EMAHook):  # the averages are in the model's place
                    hook.after_val_epoch(runner)
            self._end(runner, runner.iter)  # a resumed training begins with this validation

    def _end(self, runner: Runner, step: int) -> None:
        name = signal.Signals(self.stop.number).name
        path = save_step(runner, step)
        runner.logger.warning(f"{name}: stopped after step {step}; --resume goes on from {path}")
        raise Stopped(self.stop.number)


def save_step(runner: Runner, step: int) -> str:
    """Save all that the training needs to go on after a step, and return the file.

    The file is removed when the next checkpoint is written.
    """
    name = f"iter_{step}.pth"
    path = os.path.join(runner.work_dir, name)
    saved = [hook.last_ckpt for hook in runner.hooks if isinstance(hook, CheckpointHook)]
    if path not in saved:
        runner.message_hub.update_info("stopped_at", name)
        meta = dict(epoch=runner.epoch, iter=step)
        runner.save_checkpoint(runner.work_dir, name, meta=meta, by_epoch=False)
    return path
