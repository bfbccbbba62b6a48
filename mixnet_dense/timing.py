"""Times of several functions taken in turns, and the memory of one."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch.profiler import ProfilerActivity, profile

_WARM_UP = 3


class Times(NamedTuple):
    """Milliseconds: the median and the 90th percentile."""

    median: float
    p90: float


def interleave(
    functions: Mapping[str, Callable[[], object]],
    repeats: int,
    device: str = "cpu",
    step: Callable[[], None] = lambda: None,
) -> dict[str, Times]:
    """Time functions in turns, so that whatever slows the machine slows them all.

    Args:
        functions: by name; each is called three times to warm up, then ``repeats`` times
            twice in a row, of which the second is timed: the first finds caches and heap as
            another function left them.
        repeats: at least 1.
        device: waited for before each look at the clock.
        step: called after each round.
    """
    for function in functions.values():
        for _ in range(_WARM_UP):
            function()
    taken = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            function()  # the memory that another left behind is not this one's
            _wait(device)
            start = time.perf_counter()
            function()
            _wait(device)
            taken[name].append(1000 * (time.perf_counter() - start))
        step()
    return {name: summary(values) for name, values in taken.items()}


def summary(values: list[float]) -> Times:
    """Median and 90th percentile of at least one value."""
    ordered = sorted(values)
    return Times(statistics.median(ordered), ordered[-(-9 * len(ordered) // 10) - 1])


def peak_memory(function: Callable[[], object], device: str = "cpu") -> int:
    """Bytes of tensors that a call allocates at most beyond those there before it."""
    if device != "cpu":
        _wait(device)
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        function()
        _wait(device)
        return torch.cuda.max_memory_allocated() - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        function()
    events = [e for e in profiler.profiler.kineto_results.events() if e.name() == "[memory]"]
    held = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak


def _wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()
