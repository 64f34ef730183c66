"""How far the validation score of one chosen model is to be believed, in numbers and in words."""

from typing import Annotated, Literal

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


# how far to believe one model that was not named
Single = Annotated[Confirmed | Believed | Optimistic | Unconfirmed, Field(discriminator="kind")]
