"""One run of a confirmation, as far as its verdict needs it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Cell:
    """A candidate trained with a seed. ``score`` is NaN unless it was trained to its last epoch.

    Runs of equal ``part`` were judged on the same validation part, whose places it names as
    `places_text` writes them; empty: parts are not dealt anew, and each seed stands for itself.
    """

    candidate: int  # the trial's number in the study that is confirmed
    seed: int  # 0, 1, ...
    score: float
    multiply_adds: int = 0
    per_class: Mapping[str, float] = field(default_factory=dict)
    part: str = ""
    trial_id: int = 0
    cause: str = ""  # why it ended

    @property
    def scored(self) -> bool:
        """Whether it has a score."""
        return not math.isnan(self.score)
