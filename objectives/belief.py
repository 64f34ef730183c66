"""How far the validation score of a chosen model is to be believed, in numbers and in words."""

from typing import Annotated, Literal

from pydantic import Field

from objectives.config import Frozen

Bounds = tuple[float, float]


class Confirmed(Frozen):
    """The model's config was trained again with seeds that nobody chose it by, and scored at its last epoch."""

    kind: Literal["confirmed"] = "confirmed"
    seeds: int
    candidates: int  # that were trained again, the control among them
    mean: float  # over the seeds, of mean IoU
    expected: float  # corrected for having been chosen among the candidates
    interval: Bounds | None  # of ``expected``, 95 %; None: with one seed it is not known
    beats_control: float | None  # probability; None: it is the control, or that is not known

    def __str__(self) -> str:
        beats = "" if self.beats_control is None else f" It beats the control with {100 * self.beats_control:.0f} %."
        around = "" if self.interval is None else f" (95 %: {self.interval[0]:.4f} to {self.interval[1]:.4f})"
        return (
            f"Trained again with {self.seeds} seed(s) and scored at its last epoch, its mean IoU is {self.mean:.4f}; corrected "
            f"for the choice among {self.candidates} candidates, expect {self.expected:.4f}{around} on validation parts like "
            f"these.{beats}"
        )


class Optimistic(Frozen):
    """Nobody has confirmed the model; how much lower its score would be is told from the study's own curves."""

    kind: Literal["optimistic"] = "optimistic"
    value: float  # of mean IoU
    basis: str

    def __str__(self) -> str:
        return (
            "The validation score chose this model among others, so it is optimistic: trained again, expect about "
            f"{self.value:.4f} less ({self.basis}). `search confirm` measures it."
        )


class Unconfirmed(Frozen):
    """Nobody has confirmed the model, and the study is too small to tell how much lower its score would be."""

    kind: Literal["unconfirmed"] = "unconfirmed"
    reason: str = "not estimated"

    def __str__(self) -> str:
        return (
            "The validation score chose this model among others, so it is optimistic, by an unknown amount "
            f"({self.reason}). `search confirm` measures it."
        )


Belief = Annotated[Confirmed | Optimistic | Unconfirmed, Field(discriminator="kind")]
