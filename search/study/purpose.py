"""What a study trains for: it searches, it confirms what a search found, or it trains one of those
once more on every frame.
"""

import shlex
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from objectives.config import Frozen


class Candidate(Frozen):
    """A trial of a study, to be trained again."""

    number: int  # in that study
    params: dict[str, Any]
    last_epoch: int  # the one that counts: the study's last, or where early stopping found the best


class Searching(Frozen):
    """The study draws configs from its space."""

    searches: ClassVar[bool] = True
    scored: ClassVar[bool] = True  # whether its trials have scores
    resplit: ClassVar[bool] = False  # whether runs train on parts of their own
    words: ClassVar[str] = "searches"
    more: ClassVar[str] = ""

    kind: Literal["search"] = "search"


class Confirming(Frozen):
    """The study trains candidates of another again: each one once with each seed, or on each fold.
    A turn is one of these, from 0.
    """

    searches: ClassVar[bool] = False
    scored: ClassVar[bool] = True

    kind: Literal["confirm"] = "confirm"
    study: str
    # Optuna's, for another study may get that name later; 0: not recorded by earlier versions
    study_id: int = 0
    # how many of the best were asked for; 0: not recorded by earlier versions
    top: int = Field(default=0, ge=0)
    seeds: int = Field(ge=1)  # runs of each candidate; of folds as many as these
    resplit: bool = True  # training and validation are dealt anew for each seed but the first
    folds: int = Field(default=0, ge=0)  # into which training and validation are dealt; 0: none
    candidates: tuple[Candidate, ...]

    @property
    def best(self) -> int:
        """How many of the best trials were asked for, beside the control."""
        return self.top or max(1, sum(each.number != 0 for each in self.candidates))

    @property
    def turns(self) -> str:
        """What the runs of a candidate differ by."""
        return "folds" if self.folds else "seeds"

    def named(self, turn: int) -> str:
        """Return what a turn is called."""
        return f"fold {turn + 1}" if self.folds else f"seed {turn}"

    @property
    def first(self) -> str:
        """Which run of a candidate is exported, behind its name."""
        return "on the first fold" if self.folds else "with the first seed"

    @property
    def words(self) -> str:
        """What the study does, as the rest of a sentence."""
        return f"confirms {self.study!r}"

    @property
    def more(self) -> str:
        """Why it takes no more budget, and what to do instead."""
        again = (
            f"`search confirm --study {shlex.quote(self.study)} --again` plans anew, with "
            f"--seeds, --folds or --top as you need"
        )
        return f"it has the runs that were planned, and no more: {again}"


class Retraining(Frozen):
    """The study trains one candidate of another on every labelled frame, which leaves none to score
    it on.
    """

    searches: ClassVar[bool] = False
    scored: ClassVar[bool] = False
    resplit: ClassVar[bool] = False
    more: ClassVar[str] = "it trains one model, and there is nothing to extend"

    kind: Literal["retrain"] = "retrain"
    study: str
    candidate: Candidate
    seed: int
    # merits of the candidate's epochs, which the schedule hears; none: it hears nothing
    heard: tuple[float, ...] = ()

    @property
    def words(self) -> str:
        """What the study does, as the rest of a sentence."""
        return f"trains on every frame of study {self.study!r}, without a score"


Purpose = Annotated[Searching | Confirming | Retraining, Field(discriminator="kind")]
