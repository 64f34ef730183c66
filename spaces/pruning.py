"""When a study ends trials early: its space says so, since what may be compared follows from how
long trials train.
"""

from collections.abc import Mapping
from typing import Annotated, Literal, get_args

from pydantic import Field, TypeAdapter, ValidationError

from objectives.config import Frozen
from objectives.errors import Problem
from spaces.values import shown


class Halving(Frozen):
    """Successive halving: at each rung the best third of the trials so far goes on."""

    kind: Literal["halving"] = "halving"


class ModelStopping(Frozen):
    """At a ninth, a third and half of its epochs a trial ends whose network becomes the best of the study
    with a probability below ``below``, by the posterior of all runs.
    """

    kind: Literal["model"] = "model"
    below: float = Field(0.05, gt=0.0, lt=1.0)


class NoPruning(Frozen):
    """Every trial trains all its epochs."""

    kind: Literal["none"] = "none"


class TopK(Frozen):
    """After ``epoch`` a trial among the ``keep`` best so far goes on, the others end."""

    kind: Literal["top_k"] = "top_k"
    epoch: int = Field(1, ge=1)
    keep: int = Field(5, ge=1)


Pruning = Halving | ModelStopping | NoPruning | TopK
PRUNING_BY_DEFAULT: Pruning = ModelStopping()
UNSTATED_PRUNING: Pruning = Halving()  # of a stored space that says nothing: what was the default

_Tagged = Annotated[Pruning, Field(discriminator="kind")]

_ADAPTER: TypeAdapter[Pruning] = TypeAdapter(_Tagged)
_KINDS = tuple(each.model_fields["kind"].default for each in get_args(Pruning))
_FORMS = (
    "{kind: halving}, {kind: model, below: 0.05}, {kind: none} or {kind: top_k, epoch: 1, keep: 5}"
)


def read_pruning(written: object) -> Pruning | list[Problem]:
    """Return the pruning that a space file's ``pruning`` states, or what is wrong with it."""
    if not isinstance(written, Mapping) or written.get("kind") not in _KINDS:
        return [Problem("pruning", f"must be {_FORMS}", shown(written))]
    try:
        return _ADAPTER.validate_python(dict(written), strict=True)
    except ValidationError as error:
        return [
            Problem(
                f"pruning.{'.'.join(map(str, each['loc'][1:]))}",
                _rule(each["msg"]),
                shown(each["input"]),
            )
            for each in error.errors()
        ]


def check_length(pruning: Pruning, epochs: int) -> list[Problem]:
    """Return why trials of so many epochs cannot be pruned like this."""
    if not isinstance(pruning, TopK) or pruning.epoch < epochs:
        return []
    return [
        Problem(
            "pruning.epoch",
            f"must be below train.epochs ({epochs}), or nothing is pruned",
            str(pruning.epoch),
        )
    ]


def _rule(message: str) -> str:
    return message.replace("Input should", "must").replace(
        "Extra inputs are not permitted", "is no field of this kind"
    )
