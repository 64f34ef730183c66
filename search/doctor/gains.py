"""What searches have gained on recorded trainings, by their number: the row "model, posterior" of
docs/search.md, searches in virtual time on one table.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Gain:
    """By how much what a search hands out truly beat the control, in the mean."""

    trainings: int
    mean: float  # score
    error: float  # standard, over repetitions

    def __str__(self) -> str:
        return f"{self.mean:+.4f} ± {self.error:.4f} after {self.trainings}"


GAINS = (Gain(8, 0.0001, 0.0001), Gain(16, 0.0009, 0.0007), Gain(40, 0.0034, 0.0011))


def expected_gain(trainings: float) -> str:
    """Return in a line what so many trainings have gained, or the nearest fewer of the table."""
    known = [each for each in GAINS if each.trainings <= trainings]
    there = (
        f"{known[-1]} trainings" if known else f"not recorded for fewer than {GAINS[0].trainings}"
    )
    return (
        f"gain over a good control on the one recorded table, in virtual time: {there}. Another data "
        f"set, or a control that is less good, may differ (docs/search.md)"
    )
