"""Into how many slots a GPU is divided, each for one worker with an equal share of the memory."""

from dataclasses import dataclass
from typing import assert_never

from objectives.device.shortage import share_of
from search.machine.driver import Gpu

MOST_FITTING = 8  # that are found by themselves: more make small trials slower, not a card fuller


@dataclass(frozen=True)
class Slot:
    """One of so many equal slots of a GPU. Of none: the GPU is not divided, and each of its workers
    has all of its memory, one after the other where two trials do not fit side by side.
    """

    number: int = 0  # from 1
    of: int = 0

    def __str__(self) -> str:
        return f"slot {self.number} of {self.of}"


UNDIVIDED = Slot()


@dataclass(frozen=True)
class Into:
    """So many slots for each GPU; 0: it is not divided."""

    slots: int = 0


@dataclass(frozen=True)
class Fitting:
    """As many slots as have room for a trial of ``need_bytes``, and ``most`` at most; or as many as
    the workers that are there have made.
    """

    need_bytes: int
    most: int


Division = Into | Fitting
NOT_AT_ALL = Into()


def slots_of(gpu: Gpu, wanted: Division) -> int:
    """Return into how many slots a GPU is to be divided."""
    match wanted:
        case Into(slots):
            return slots
        case Fitting(need_bytes, most):
            fitting = (
                slots
                for slots in range(most, 1, -1)
                if share_of(gpu.memory_bytes, slots) >= need_bytes
            )
            return next(fitting, 1)
        case _:
            assert_never(wanted)
