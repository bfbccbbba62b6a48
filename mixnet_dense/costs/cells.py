"""A number that a paper prints, and ours beside it."""

from dataclasses import dataclass

# Misses that another way of counting would explain; these still count as misses.
WITH_ELEMENTWISE = "219.7 with the profiler's element-wise operations"
ONE_DIGIT = "MobileNetV2's own paper prints 0.8"
ELEMENTWISE_ONLY = "rounds to it with element-wise operations only"


@dataclass(frozen=True)
class Cell:
    """A printed number and ours.

    Attributes:
        table, row: where it is printed.
        quantity: ``'params'`` or ``'macs'``.
        printed: as printed.
        unit: what the printed number is to be multiplied by.
        value: ours, exact.
        why: what is known of a printed number that ours misses.
        tolerance: how near ours must be to agree, of the printed number.
        profiled: of multiply-adds, ours with what else the paper seems to count.
    """

    table: str
    row: str
    quantity: str
    printed: str
    unit: float
    value: int
    why: str = ""
    tolerance: float = 0.01
    profiled: int | None = None

    @property
    def difference(self) -> float:
        """Ours over the printed number, minus 1."""
        return self.value / (float(self.printed) * self.unit) - 1

    @property
    def reachable(self) -> bool:
        """Whether some reading of the paper should give the printed number."""
        return self.why in ("", WITH_ELEMENTWISE, ONE_DIGIT, ELEMENTWISE_ONLY)

    @property
    def rounds(self) -> bool:
        """Whether ours rounds to the printed digits."""
        digits = len(self.printed.partition(".")[2])
        return f"{self.value / self.unit:.{digits}f}" == self.printed

    @property
    def agrees(self) -> bool:
        """Whether ours rounds to the printed digits or is within the tolerance of them."""
        return self.rounds or abs(self.difference) <= self.tolerance
