"""What training minimises: a mixture of losses, in one phase or two, and the weights of classes in
it.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from objectives.config.foreign import with_foreign_losses
from objectives.config.parts import TERM, Argument, Frozen, ReadWhile, TermWeight


class NoClassWeights(Frozen):
    """Every scored class counts the same per pixel."""

    kind: Literal["none"] = "none"


class InverseFrequency(Frozen):
    """Weight of class k is proportional to (pixel share of k in training) ** -power."""

    kind: Literal["inverse_frequency"] = "inverse_frequency"
    power: float = Field(0.5, ge=0.0, le=1.0)


class GivenClassWeights(Frozen):
    """One weight per class, in label order; the ignored label's entry has no effect."""

    kind: Literal["given"] = "given"
    values: tuple[Annotated[float, Field(ge=0.0)], ...] = Field(min_length=2)


ClassWeights = Annotated[
    NoClassWeights | InverseFrequency | GivenClassWeights, Field(discriminator="kind")
]


class OwnMixture(Frozen):
    """A mixture of losses; the weights of its terms lie on the simplex, so they never rescale the
    learning rate.

    Of Tversky's index ``alpha`` weighs false positives, 1 - ``alpha`` false negatives; of unified
    focal ``delta`` weighs the rarer side, ``gamma`` is the focus on what is hard or rare.
    """

    cross_entropy: TermWeight = 1.0
    focal: TermWeight = 0.0
    dice: TermWeight = 0.0
    generalised_dice: TermWeight = 0.0
    tversky: TermWeight = 0.0
    unified_focal: TermWeight = 0.0
    jaccard: TermWeight = 0.0
    boundary: TermWeight = 0.0
    focal_gamma: Annotated[float, ReadWhile("focal"), Argument("gamma")] = Field(
        2.0, ge=0.0, le=8.0
    )
    tversky_alpha: Annotated[float, ReadWhile("tversky"), Argument("alpha")] = Field(
        0.3, ge=0.0, le=1.0
    )
    unified_delta: Annotated[float, ReadWhile("unified_focal"), Argument("delta")] = Field(
        0.6, ge=0.0, le=1.0
    )
    unified_gamma: Annotated[float, ReadWhile("unified_focal"), Argument("gamma")] = Field(
        0.5, ge=0.0, lt=1.0
    )

    @model_validator(mode="after")
    def _on_simplex(self) -> Self:
        total = sum(getattr(self, term) for term in LOSS_TERMS)
        if abs(total - 1.0) > 1e-6:
            raise ValueError(
                f"the weights of {', '.join(LOSS_TERMS)} must add up to 1, got {total:g}"
            )
        return self

    def arguments_of(self, term: str) -> Mapping[str, float]:
        """Return the arguments of one loss, by name."""
        return {
            each.name: getattr(self, field)
            for field, info in type(self).model_fields.items()
            for each in info.metadata
            if isinstance(each, Argument) and ReadWhile(term) in info.metadata
        }


if TYPE_CHECKING:
    Mixture = OwnMixture
else:
    Mixture = with_foreign_losses(OwnMixture)

LOSS_TERMS = tuple(name for name, info in Mixture.model_fields.items() if TERM in info.metadata)


class Loss(Mixture):
    """What training minimises: a mixture, and the weights of classes in its terms."""

    class_weights: ClassWeights = NoClassWeights()


class NoSecondPhase(Frozen):
    """One mixture from the first epoch to the last."""

    kind: Literal["none"] = "none"


class SecondPhase(Mixture):
    """Another mixture takes over after the share ``start`` of all epochs; class weights stay those
    of the first.
    """

    kind: Literal["mixture"] = "mixture"
    start: float = Field(0.5, gt=0.0, lt=1.0)


SecondLoss = Annotated[NoSecondPhase | SecondPhase, Field(discriminator="kind")]
