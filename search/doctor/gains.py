"""What searches have gained on recorded trainings, by their number: the rows "model, posterior" of
docs/search.md, searches in virtual time on each table.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Gain:
    """By how much what a search hands out truly beat the control, in the mean."""

    trainings: int
    mean: float  # score
    error: float  # standard, over repetitions

    def __str__(self) -> str:
        return f"{self.mean:+.4f} ± {self.error:.4f}"


# by table
GAINS: Mapping[str, Sequence[Gain]] = {
    "mars-a": (Gain(8, 0.0, 0.0002), Gain(16, 0.0002, 0.0006), Gain(40, 0.0034, 0.0008)),
    "terrain": (Gain(8, 0.0079, 0.0018), Gain(16, 0.0246, 0.0020), Gain(40, 0.0447, 0.0019)),
}


def expected_gain(trainings: float) -> str:
    """Return in a line what so many trainings have gained on each table, or the nearest fewer that
    were looked at.
    """
    looked_at = [each.trainings for each in next(iter(GAINS.values()))]
    fewer = [number for number in looked_at if number <= trainings]
    there = (
        f"after {fewer[-1]} trainings "
        + ", ".join(f"{gains[len(fewer) - 1]} ({table})" for table, gains in GAINS.items())
        if fewer
        else f"not recorded for fewer than {looked_at[0]} trainings"
    )
    return (
        f"gain over a control of fair quality on the recorded tables, in virtual time: {there}. Another data "
        f"set, or another control, may differ (docs/search.md)"
    )
