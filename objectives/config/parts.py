"""What the config's values are made of, ours and other packages': frozen models, conditions of
fields, weights of losses.
"""

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
)

Scalar = bool | int | float | str  # what a field of a space is drawn as
# what marks a field that values stored by earlier versions lack: it stands last of its section, and
# is stored only where it is not its default
LATER = "a later field"
FILLED_IN = "of the study, no field of a space"  # what marks a field that nobody may vary


class Frozen(BaseModel):
    """A value that never changes and accepts no unknown field."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Grown(Frozen):
    """A value with later fields, which are left out of its stored form where they say nothing: what
    has none of them is stored as it ever was.
    """

    @model_serializer(mode="wrap")
    def _without_unsaid(self, whole: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = type(self).model_fields
        unsaid = {
            name
            for name, info in fields.items()
            if LATER in info.metadata and getattr(self, name) == info.default
        }
        return {name: value for name, value in whole(self).items() if name not in unsaid}


@dataclass(frozen=True)
class ReadWhile:
    """A field's condition: it is read while ``governor`` is above 0 or, where there are
    ``options``, is one of them, or where there is ``unless``, is none of those.

    ``governor`` is a field of the same section, or a path in another. Of several conditions all
    must hold.
    """

    governor: str
    options: tuple[str | bool, ...] = ()
    unless: tuple[str, ...] = ()


@dataclass(frozen=True)
class Argument:
    """A field is an argument, by this name, of the loss while whose weight is above 0 it
    is read.
    """

    name: str


@dataclass(frozen=True)
class Written:
    """How a text is written, in words, for who has written another."""

    form: str


Share = Annotated[float, Field(ge=0.0, le=1.0)]
TERM = "the weight of a loss in a mixture"  # what marks such a field
TermWeight = Annotated[float, Field(ge=0.0, le=1.0), TERM]
