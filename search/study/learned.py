"""What a study has learned from others when it was written: their runs, as values of its own
parameters. They are data of the posterior alone, and no trials.
"""

from typing import Any

from pydantic import Field

from objectives.config import Frozen

AUTO = "auto"  # instead of names: whatever study fits


class LearnedRun(Frozen):
    """A run of another study."""

    params: dict[str, Any]  # of this study's space
    scores: tuple[float, ...] = Field(min_length=1)  # by epoch
    whole: bool


class LearnedStudy(Frozen):
    """A copy of another study's runs, as they were."""

    study: str
    epochs: int = Field(ge=1)  # of a whole training there
    control: float  # what was believed of its own control
    runs: tuple[LearnedRun, ...]


class Lessons(Frozen):
    """What a study learns from: as it was asked, and the runs that it got by that."""

    asked: str = ""  # names, or `AUTO`; empty: from none
    studies: tuple[LearnedStudy, ...] = ()

    @property
    def runs(self) -> int:
        """How many runs of others it has."""
        return sum(len(each.runs) for each in self.studies)

    def __str__(self) -> str:
        if not self.studies:
            return "none" if self.asked else ""
        return " and ".join(f"{len(each.runs)} runs of {each.study}" for each in self.studies)
