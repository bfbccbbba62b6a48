"""Progress of work on many files, or of a download."""

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TextIO


class Progress:
    """Prints the time left: one live line on a terminal, elsewhere a line per quarter.

    Args:
        total: how much there is to do.
        unit: what is printed after the numbers; one unit is ``scale`` of the total.
    """

    def __init__(
        self, total: int, unit: str = "images", stream: TextIO | None = None, scale: int = 1
    ) -> None:
        self._total, self._unit, self._scale, self._done = total, unit, scale, 0
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._started = self._shown = time.monotonic()

    def step(self, count: int = 1) -> None:
        """Count so much more as done, and print a line if it is due."""
        before, self._done = self._done, self._done + count
        now, last = time.monotonic(), self._done == self._total
        left = (now - self._started) / self._done * (self._total - self._done)
        rest = f"in {now - self._started:.0f} s" if last else f"about {left:.0f} s left"
        done, total = (round(number / self._scale) for number in (self._done, self._total))
        line = f"{done}/{total} {self._unit}, {rest}"
        if self._live and (last or now - self._shown > 0.2):
            self._shown = now
            # The next line, such as an error's, is printed over a line that is not the last.
            print(f"{line:<60}", end="\n" if last else "\r", file=self._stream, flush=True)
        elif not self._live and self._done * 4 // self._total > before * 4 // self._total:
            print(line, file=self._stream, flush=True)


def on_all_cores(
    work: Callable, items: Sequence, unit: str = "images", stream: TextIO | None = None
) -> Iterator:
    """The results of ``work`` on each item, in order, with `Progress`.

    If the caller stops early, or an item raises, what has not begun is left out.
    """
    progress = Progress(len(items), unit, stream)
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        for result in pool.map(work, items):
            progress.step()
            yield result
    finally:
        pool.shutdown(cancel_futures=True)
