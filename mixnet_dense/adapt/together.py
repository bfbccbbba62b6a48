"""Processes of torchrun that share values and work alone otherwise: no gradients, no metrics.

There is no process group: mmengine's metrics would join what the processes have evaluated.
"""

import json
import os
from collections.abc import Callable
from datetime import timedelta

import torch

from mixnet_dense.engine.runner import check_torchrun

_LONG = timedelta(days=30)


class Together:
    """The processes that torchrun started, or this one alone.

    Args:
        launcher: ``'none'`` or ``'pytorch'``.

    Raises:
        InputError: torchrun did not start this process.
    """

    def __init__(self, launcher: str = "none"):
        self.rank, self.size, self._store, self._count = 0, 1, None, 0
        if launcher == "none":
            return
        check_torchrun()
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
        found = torch.distributed.rendezvous("env://", timeout=_LONG)
        self._store, self.rank, self.size = next(iter(found))
        self._store.set_timeout(_LONG)

    def gather(self, value) -> list:
        """The values of all processes, each of JSON's kinds; it waits for them."""
        if self._store is None:
            return [value]
        self._count += 1
        self._store.set(f"{self._count}/{self.rank}", json.dumps(value))
        keys = [f"{self._count}/{rank}" for rank in range(self.size)]
        return [json.loads(self._store.get(key)) for key in keys]

    def first(self, work: Callable):
        """What ``work`` gives on the first process, on all of them."""
        return self.gather(work() if self.rank == 0 else None)[0]
