"""How far the validation score of an ensemble is to be believed, in numbers and in words."""

from typing import Literal, assert_never

from objectives.bundle.belief_in_one import (
    Believed,
    Bounds,
    Confirmed,
    Optimistic,
    Single,
    Unconfirmed,
    chance,
)
from objectives.config import Frozen


class Share(Frozen):
    """One member of an ensemble: the run that trained it, and its part of the average; of a stack
    all parts are 1.
    """

    study: str  # that holds the run, which may be a confirmation
    trial: int  # in that study
    weight: float

    def __str__(self) -> str:
        return f"{self.weight:.2f} of {self.run}"

    @property
    def run(self) -> str:
        """Which run it is, in words."""
        return f"trial {self.trial} of {self.study}"


class Weighed(Frozen):
    """The model is an ensemble; it was weighed against the single model that would be handed out
    instead, by what is believed of all its members and what the validation places say, without
    averaging over flips.
    """

    kind: Literal["weighed"] = "weighed"
    stacked: bool = False  # a second model reads the members, instead of an average of them
    listed: bool = False  # whoever exported it named the members, which count alike
    members: tuple[Share, ...]  # the largest share first, of a stack the best run
    against: Share  # the single model, which may be a member
    gain: float  # expected of the true scores
    sd: float  # how far off that may be
    better: float  # probability
    believed: float  # part of the gain: what is believed of the members less that of the single one
    over_members: float  # observed: the ensemble's score less its members' mean
    optimism: float  # part of that which the choice has made, and which the gain is without
    places: int
    times: float | None  # the single model's multiply-adds; None: not known
    single: Single

    def __str__(self) -> str:
        return " ".join(filter(None, (self.what, self.verdict, self._why, self._luck)))

    @property
    def what(self) -> str:
        """What it combines, as a sentence."""
        named = ", ".join(share.run for share in self.members)
        if self.stacked:
            return f"A second model reads the probabilities of {named}."
        if self.listed:
            return f"It is the even average of {named}, which whoever exported it named."
        return f"It averages {', '.join(map(str, self.members))}."

    @property
    def verdict(self) -> str:
        """What it gains, how probably, and what it costs, as a sentence."""
        cost = f"{len(self.members)} networks for each prediction"
        if self.times is not None:
            cost += f", {self.times:.1f} times the multiply-adds"
        return (
            f"Against {self.against.run} alone it is expected to gain {self.gain:+.4f} ± "
            f"{self.sd:.4f} in true score and is better with {chance(self.better)}, at the cost of "
            f"{cost}."
        )

    @property
    def _why(self) -> str:
        return (
            f"Its members are believed {self.believed:+.4f} against that one in the mean; on the "
            f"{self.places} validation places it scores {self.over_members:+.4f} against their mean, "
            f"of which {self.optimism:.4f} are taken off for having been chosen there."
        )

    @property
    def _luck(self) -> str:
        """Return how far to believe the single model."""
        if isinstance(self.single, Believed):
            return f"Of the single one: {self.single.expected}"
        if isinstance(self.single, Confirmed):
            return (
                "Its members were trained again for the confirmation, and nobody had chosen them "
                "by their score."
            )
        return ""


class Judged(Frozen):
    """The model is an ensemble; it was judged on places that had no part in its choice, without
    averaging over flips. Bundles of before have it.
    """

    kind: Literal["judged"] = "judged"
    stacked: bool = False  # a second model reads the members, instead of an average of them
    listed: bool = False  # whoever exported it named the members, which count alike
    members: tuple[Share, ...]  # the largest share first, of a stack the best run
    # score of ensembles chosen on one half of the places and judged on the other, both ways
    # round
    score: float
    member_score: float  # the same of the best single model
    gain: Bounds | None  # of their difference, 95 %, over places; None: too few places
    places: int
    single: Single

    def __str__(self) -> str:
        around = "" if self.gain is None else f" (95 %: {self.gain[0]:+.4f} to {self.gain[1]:+.4f})"
        if self.listed:
            return (
                f"It is the even average of {', '.join(share.run for share in self.members)}, "
                f"which whoever exported it named. "
                f"Over the {self.places} validation places its score is {self.score:.4f}; that "
                f"of the best of its members, "
                f"chosen on one half of them and judged on the other, both ways round, "
                f"{self.member_score:.4f}: a gain of "
                f"{self.score - self.member_score:+.4f}{around}. Named for their scores, they make "
                f"both numbers optimistic."
            )
        return (
            f"{self._what()} chosen on the validation part, so its score there is optimistic. "
            f"Chosen on one half of the "
            f"{self.places} places and judged on the other, both ways round, such an ensemble has "
            f"a score of "
            f"{self.score:.4f}, the best single model {self.member_score:.4f}: a gain of "
            f"{self.score - self.member_score:+.4f}{around}. {self._luck()}"
        )

    def _what(self) -> str:
        if not self.stacked:
            return f"It averages {', '.join(map(str, self.members))}. They were"
        return (
            f"A second model reads the probabilities of "
            f"{', '.join(share.run for share in self.members)}. They were"
        )

    def _luck(self) -> str:
        """Return what the judging leaves: the luck by which the search has found the members."""
        match self.single:
            case Confirmed():
                return (
                    "Its members were trained again for the confirmation, and nobody had "
                    "chosen "
                    "them by their score."
                )
            case Believed():
                return (
                    "The search chose the members by their score, which makes both numbers "
                    f"optimistic. Of the best single one: {self.single.expected}"
                )
            case Optimistic(value=value, basis=basis):
                less = f"trained again, expect about {value:.4f} less ({basis})"
            case Unconfirmed(reason=reason):
                less = f"trained again, expect less, nobody knows how much ({reason})"
            case _:
                assert_never(self.single)
        return (
            f"The search chose the members by their score, which makes both numbers "
            f"optimistic: "
            f"{less}."
        )
