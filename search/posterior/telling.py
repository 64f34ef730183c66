"""Which of many runs are to tell something: a posterior costs the cube of their number."""

import math
from collections.abc import Sequence

from optuna.trial import FrozenTrial

# trials that tell something: the half with the highest scores, and others evenly from first to last,
# so that what is known is not only of good ones
MOST = 400


def told_among(sources: Sequence[FrozenTrial]) -> list[int]:
    """Return the places of the trials that are to tell something: all, or as many as may be."""
    return most_telling([height_of(each) for each in sources], MOST)


def most_telling(heights: Sequence[float], most: int) -> list[int]:
    """Return the places of the runs that are to tell something, by their highest scores: all, or as
    many as may be.
    """
    if len(heights) <= most:
        return [*range(len(heights))]
    by_height = sorted(range(len(heights)), key=lambda place: (-heights[place], place))
    rest = sorted(by_height[most // 2 :])
    evenly = most - most // 2
    step = len(rest) / evenly
    kept = by_height[: most // 2] + [rest[int(place * step)] for place in range(evenly)]
    return sorted(kept)


def height_of(trial: FrozenTrial) -> float:
    """Return a trial's value, or its highest score so far; minus infinity before any."""
    if trial.value is not None:
        return trial.value
    return max(filter(math.isfinite, trial.intermediate_values.values()), default=-math.inf)
