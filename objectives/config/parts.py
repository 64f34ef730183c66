"""What the config's values are made of, ours and other packages': frozen models, conditions of
fields, weights of losses.
"""

from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Frozen(BaseModel):
    """A value that never changes and accepts no unknown field."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True)
class ReadWhile:
    """A field's condition: it is read while ``governor`` is above 0 or, where there are
    ``options``, is one of them.

    ``governor`` is a field of the same section, or a path in another. Of several conditions all
    must hold.
    """

    governor: str
    options: tuple[str | bool, ...] = ()


@dataclass(frozen=True)
class Argument:
    """A field is an argument, by this name, of the loss while whose weight is above 0 it
    is read.
    """

    name: str


Share = Annotated[float, Field(ge=0.0, le=1.0)]
TERM = "the weight of a loss in a mixture"  # what marks such a field
TermWeight = Annotated[float, Field(ge=0.0, le=1.0), TERM]
