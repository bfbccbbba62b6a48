"""Training that an interruption does not change: resumed, it ends with the same weights.

Nothing random is kept in a checkpoint. Before each step, and before each sample of it is loaded,
the generators of Python, numpy and torch are seeded from the training's seed, the process, the
number of the step and the sample's place in it (`seed_all`). So the images, their order, their
augmentation and what the model draws follow from the number of the step, with any number of data
workers, and a batch can be loaded again after a worker died.
"""

import gc
import itertools
import random
import signal
import threading
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from mmengine.dataset import InfiniteSampler
from mmengine.dist import get_rank
from mmengine.logging import print_log
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop
from torch.utils.data import DataLoader, Sampler

from mixnet_dense.errors import first_line

_TRIES = 5  # to load a batch while data workers die


class Index(int):
    """The index of a sample, with the numbers to seed its loading from."""

    seeds: tuple[int, ...]

    def __new__(cls, value: int, seeds: Sequence[int]):
        index = super().__new__(cls, value)
        index.seeds = tuple(seeds)
        return index

    def __reduce__(self):  # to a data worker
        return Index, (int(self), self.seeds)


def seed_all(numbers: Sequence[int]) -> None:
    """Seed Python, numpy and torch from numbers of 0 or more."""
    first, second, *more = np.random.SeedSequence(numbers).generate_state(4).tolist()
    random.seed(first)
    np.random.seed(more)
    torch.default_generator.manual_seed(second)  # torch.manual_seed takes ten times all this
    if torch.cuda.is_initialized():  # in a data worker it is not
        torch.cuda.manual_seed_all(second)


class Batches(Sampler):
    """A batch sampler that can begin at any step of a training.

    Args:
        batches: the batch sampler that the config names.
        seed: of the training.

    Attributes:
        endless: whether another epoch follows the last batch.
    """

    def __init__(self, batches: Sampler, seed: int):
        self.batches, self.endless = batches, False
        self._seed, self._step, self._skip = seed, 0, 0

    def begin(self, step: int, skip: int) -> None:
        """The next pass leaves out ``skip`` batches, and its first is that of step ``step``."""
        self._step, self._skip = step, skip
        sampler = getattr(self.batches, "sampler", None)
        if isinstance(sampler, InfiniteSampler):  # would go on where its last pass ended
            sampler.__init__(sampler.dataset, sampler.shuffle, sampler.seed)

    def __iter__(self) -> Iterator[list[Index]]:
        rest = itertools.islice(self._passes(), self._skip, None)
        for step, batch in enumerate(rest, self._step):
            seeds = (self._seed, get_rank(), step)
            yield [Index(index, (*seeds, place)) for place, index in enumerate(batch)]

    def _passes(self) -> Iterator[list[int]]:
        for epoch in itertools.count():
            if self.endless and hasattr(self.sampler, "set_epoch"):
                self.sampler.set_epoch(epoch)
            yield from self.batches
            if not self.endless:
                return

    def __len__(self) -> int:
        return len(self.batches)

    def __getattr__(self, name: str):  # sampler, batch_size, drop_last
        if name == "batches":
            raise AttributeError(name)
        return getattr(self.batches, name)


class Loader(DataLoader):
    """A DataLoader over `Batches` that replaces data workers that died.

    What a lost worker was loading is loaded again. torch would end the training, even in the
    middle of a step.

    Raises:
        RuntimeError: workers died again and again without loading the next batch.
    """

    @classmethod
    def of(cls, loader: DataLoader, dataset, seed: int) -> "Loader":
        """A loader like the given one, of another dataset."""
        same = ("num_workers", "collate_fn", "pin_memory", "timeout", "worker_init_fn",
                "multiprocessing_context", "prefetch_factor", "persistent_workers")  # fmt: skip
        options = {name: getattr(loader, name) for name in same}
        return cls(dataset, batch_sampler=Batches(loader.batch_sampler, seed), **options)

    def begin(self, step: int, skip: int) -> None:
        """See `Batches.begin`."""
        self._place = step, skip
        self.batch_sampler.begin(step, skip)

    def __iter__(self) -> Iterator:
        step, skip = getattr(self, "_place", (0, 0))
        self.begin(0, 0)  # of the pass after this one
        tries = _TRIES
        while True:
            self.batch_sampler.begin(step, skip)
            try:
                for batch in self._pass():
                    step, skip, tries = step + 1, skip + 1, _TRIES
                    yield batch
                return
            except (RuntimeError, ConnectionError, FileNotFoundError, EOFError) as error:
                if not (self.num_workers and tries and _is_of_dead_worker(error)):
                    raise
                line = first_line(error)
            tries -= 1
            print_log(f"a data worker died, its batches are loaded again ({line})", "current", 30)
            self._iterator = None  # persistent workers, of which one is dead
            gc.collect()  # ends the others

    def _pass(self) -> Iterator:
        batches = super().__iter__()
        if self.num_workers and threading.current_thread() is threading.main_thread():
            # torch's handler raises wherever the training is. Without it a lost worker is
            # noticed where its batch is waited for.
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        return batches


def _is_of_dead_worker(error: BaseException) -> bool:
    """Whether torch found a worker dead, or could not fetch from it what it had announced.

    For a GPU the fetching is done by the thread that pins memory, which ends then.
    """
    if isinstance(error, RuntimeError):
        return any(part in str(error) for part in ("DataLoader worker (pid", "Pin memory thread"))
    return not str(error).startswith("Caught ")  # by a worker, in the data set


# ----------------------------------------------------------------------- loops


class EpochLoop(EpochBasedTrainLoop):
    """mmengine's loop over epochs; resumed within an epoch it goes on there."""

    def run_epoch(self) -> None:
        self.runner.call_hook("before_train_epoch")
        self.runner.model.train()
        done = self._iter - self._epoch * len(self.dataloader)
        self.dataloader.begin(self._iter, done)
        for index, batch in enumerate(self.dataloader, done):
            self.run_iter(index, batch)
        self.runner.call_hook("after_train_epoch")
        self._epoch += 1


class StepLoop(IterBasedTrainLoop):
    """mmengine's loop over steps; resumed it loads no batch that was trained on before."""

    def run(self) -> torch.nn.Module:
        self.runner.call_hook("before_train")
        self.runner.call_hook("before_train_epoch")
        self.dataloader.batch_sampler.endless = True
        self.dataloader.begin(self._iter, self._iter)
        batches = iter(self.dataloader)
        while self._iter < self._max_iters and not self.stop_training:
            self.runner.model.train()
            self.run_iter(next(batches))
            self._decide_current_val_interval()
            if validates(self):
                self.runner.val_loop.run()
        self.runner.call_hook("after_train_epoch")
        self.runner.call_hook("after_train")
        return self.runner.model


def validates(loop: EpochLoop | StepLoop) -> bool:
    """Whether a validation follows the epochs or steps that a loop has done."""
    epochs = isinstance(loop, EpochBasedTrainLoop)
    done, last = (loop.epoch, loop.max_epochs) if epochs else (loop.iter, loop.max_iters)
    whole = not epochs or loop.iter == done * len(loop.dataloader)
    due = done >= loop.val_begin and (done % loop.val_interval == 0 or done == last)
    return bool(loop.runner.val_loop is not None and done and whole and due)


LOOPS = {EpochBasedTrainLoop: EpochLoop, IterBasedTrainLoop: StepLoop}
"""What takes the place of mmengine's loops."""
