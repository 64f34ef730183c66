"""What a study decides about its data: size, dropping, parts, seed and scored classes."""

from collections.abc import Iterator
from dataclasses import dataclass

from objectives.errors import Problem

PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class DataOptions:
    """How a source becomes a prepared data set; two studies with equal options and source share one.

    ``size`` is (H, W), None keeps the source's; ``min_identical`` frames that share one mask of several classes are dropped;
    ``shares`` are those of train, validation and test; ``scored`` empty means all classes but the ignored one.
    """

    size: tuple[int, int] | None = None
    min_identical: int = 10
    shares: tuple[float, float, float] = (0.8, 0.1, 0.1)
    seed: int = 0
    scored: tuple[int, ...] = ()

    def problems(self) -> Iterator[Problem]:
        """Every option that cannot work, whatever the data."""
        if self.size is not None and not all(1 <= side <= 65535 for side in self.size):
            yield Problem("size", "height and width must be 1 to 65535", f"{self.size[0]}x{self.size[1]}")
        if self.min_identical < 2:
            yield Problem("min_identical", "must be at least 2", str(self.min_identical))
        if len(self.shares) != len(PARTS) or min(self.shares) <= 0 or abs(sum(self.shares) - 1) > 1e-6:
            yield Problem("shares", "must be three positive numbers that add up to 1", str(self.shares))
        if self.seed < 0:
            yield Problem("seed", "must be 0 or more", str(self.seed))
