"""How far the validation score of a chosen model is to be believed, in numbers and in words."""

from typing import Annotated, Literal, assert_never

from pydantic import Field

from objectives.config import Frozen

Bounds = tuple[float, float]


def chance(probability: float) -> str:
    """Return a probability in words, none of which says that something is certain."""
    if probability > 0.99:
        return "over 99 %"
    return "under 1 %" if probability < 0.01 else f"{100 * probability:.0f} %"


class Confirmed(Frozen):
    """The model's config was trained again with seeds, or on folds, that nobody chose it by, and
    scored at its last epoch.
    """

    kind: Literal["confirmed"] = "confirmed"
    seeds: int  # or folds: how often it has a score
    folds: bool = False  # of all frames outside the test part, the first of which validates here
    candidates: int  # that were trained again, the control among them
    mean: float  # over the seeds, of the score
    expected: (
        float  # corrected for having been chosen among the candidates, where that can be estimated
    )
    interval: Bounds | None  # of ``expected``, 95 %; None: with one seed it is not known
    beats_control: float | None  # probability; None: it is the control, or that is not known
    corrected: bool = True  # False: ``expected`` is the mean

    def __str__(self) -> str:
        beats = (
            ""
            if self.beats_control is None
            else f" It beats the control with {chance(self.beats_control)}."
        )
        around = (
            ""
            if self.interval is None
            else f" (95 %: {self.interval[0]:.4f} to {self.interval[1]:.4f})"
        )
        again = f"on {self.seeds} fold(s)" if self.folds else f"with {self.seeds} seed(s)"
        sentence = (
            f"Trained again {again} and scored at its last epoch, its mean score is {self.mean:.4f}"
        )
        if self.corrected:
            chosen = (
                f"corrected for the choice among {self.candidates} candidates, expect "
                f"{self.expected:.4f}{around}"
            )
            return f"{sentence}; {chosen} on validation parts like these.{beats}"
        why = (
            f"one {'fold' if self.folds else 'seed'} does not tell how far that was luck"
            if self.seeds == 1
            else "there is too little to tell how far that was luck"
        )
        uncorrected = (
            f"It is not corrected for the choice among {self.candidates} candidates: {why}."
            if self.candidates > 2
            else ""
        )
        return " ".join(
            filter(
                None, (f"{sentence}{around} on validation parts like these.{beats}", uncorrected)
            )
        )


class Believed(Frozen):
    """Nobody has confirmed the model; what it is worth is told from all runs of the search together, by
    a posterior: its own ``weights``, or in bundles of before its config.
    """

    kind: Literal["believed"] = "believed"
    weights: bool = False
    mean: float  # expected score, of a config in the mean over seeds
    sd: float  # how far off that may be
    beats_control: float | None  # probability; None: it is the control, or that has no score
    runs: int  # of the search, its own among them

    def __str__(self) -> str:
        return (
            f"The score is of its best epoch, which was chosen for being high. {self.expected}"
            f"{self._beats} `search confirm` measures it."
        )

    @property
    def expected(self) -> str:
        """What to expect of it, as a sentence."""
        if self.weights:
            return (
                f"By all {self.runs} runs of the search together, these weights are expected to score "
                f"{self.mean:.4f} ± {self.sd:.4f} on other frames like those of the validation part "
                f"(posterior mean and deviation)."
            )
        return (
            f"By all {self.runs} runs of the search together, trainings with its config are "
            f"expected to end at {self.mean:.4f} ± {self.sd:.4f} in the mean over seeds (posterior "
            f"mean and deviation); a single one differs from that by its seed."
        )

    @property
    def _beats(self) -> str:
        if self.beats_control is None:
            return ""
        return f" It beats the control with {chance(self.beats_control)}."


class Optimistic(Frozen):
    """Nobody has confirmed the model; how much lower its score would be was estimated from the
    study's own curves. Bundles of before have it.
    """

    kind: Literal["optimistic"] = "optimistic"
    value: float  # of the score
    basis: str

    def __str__(self) -> str:
        return (
            "The validation score chose this model among others, so it is optimistic: trained "
            "again, expect about "
            f"{self.value:.4f} less ({self.basis}). `search confirm` measures it."
        )


class Unconfirmed(Frozen):
    """Nobody has confirmed the model, and the study is too small to tell how much lower its score
    would be.
    """

    kind: Literal["unconfirmed"] = "unconfirmed"
    reason: str = "not estimated"
    alone: bool = False  # the only trial with a score

    def __str__(self) -> str:
        if self.alone:
            return (
                "No other trial has a score, but its best epoch was chosen by the validation "
                "score, so that is optimistic, by "
                f"an unknown amount ({self.reason}). `search confirm` measures it."
            )
        return (
            "The validation score chose this model among others, so it is optimistic, by an "
            "unknown amount "
            f"({self.reason}). `search confirm` measures it."
        )


class Named(Frozen):
    """The model was asked for by its number."""

    kind: Literal["named"] = "named"

    def __str__(self) -> str:
        return (
            "It was exported by its number, and how it was chosen is not recorded: if by its "
            "validation score, that score is optimistic."
        )


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
    # how far to believe one model
    single: Annotated[Confirmed | Believed | Optimistic | Unconfirmed, Field(discriminator="kind")]

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
    # how far to believe one model
    single: Annotated[Confirmed | Believed | Optimistic | Unconfirmed, Field(discriminator="kind")]

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


Belief = Annotated[
    Confirmed | Believed | Optimistic | Unconfirmed | Named | Weighed | Judged,
    Field(discriminator="kind"),
]
