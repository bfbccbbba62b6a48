"""Progress of work on many files."""

import sys
import time
from typing import TextIO


class Progress:
    """Prints the time left: one live line on a terminal, elsewhere a line per quarter."""

    def __init__(self, total: int, unit: str = "images", stream: TextIO | None = None) -> None:
        self._total, self._unit, self._done = total, unit, 0
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._started = self._shown = time.monotonic()

    def step(self) -> None:
        """Count one file as done, and print a line if it is due."""
        self._done += 1
        now, last = time.monotonic(), self._done == self._total
        left = (now - self._started) / self._done * (self._total - self._done)
        rest = f"in {now - self._started:.0f} s" if last else f"about {left:.0f} s left"
        line = f"{self._done}/{self._total} {self._unit}, {rest}"
        if self._live and (last or now - self._shown > 0.2):
            self._shown = now
            print(f"\r{line:<60}", end="\n" if last else "", file=self._stream, flush=True)
        elif not self._live and self._done * 4 // self._total > (self._done - 1) * 4 // self._total:
            print(line, file=self._stream, flush=True)
