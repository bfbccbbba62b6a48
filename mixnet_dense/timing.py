"""Time several functions in turns, and measure the memory of one."""

from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.benchmark import timer  # in seconds; waits for a GPU first

_WARM_UP = 3


class Times(NamedTuple):
    """The median and the 90th percentile, in milliseconds."""

    median: float
    p90: float


def summary(values: Sequence[float]) -> Times:
    """Median and 90th percentile of at least one value, interpolated between neighbours."""
    return Times(*np.percentile(values, (50, 90)).tolist())


def interleave(
    functions: Mapping[str, Callable[[], object]],
    repeats: int,
    step: Callable[[], None] = lambda: None,
) -> dict[str, Times]:
    """Time functions in turns, so that other load on the machine slows all of them.

    Each is called three times to warm up. In each of the ``repeats`` rounds it is called twice in
    a row. Only the second call is timed, because another function has used the caches and the heap
    before the first. ``step`` is called after each round.
    """
    for function in functions.values():
        for _ in range(_WARM_UP):
            function()
    taken = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            function()  # not timed
            start = timer()
            function()
            taken[name].append(1000 * (timer() - start))
        step()
    return {name: summary(values) for name, values in taken.items()}


def peak_memory(function: Callable[[], object], device: str = "cpu") -> int:
    """Peak memory of the tensors that a call allocates, in bytes."""
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        function()
        return torch.cuda.max_memory_allocated() - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        function()
    events = [e for e in profiler.profiler.kineto_results.events() if e.name() == "[memory]"]
    events.sort(key=lambda event: event.start_ns())
    return max(accumulate(event.nbytes() for event in events), default=0)
