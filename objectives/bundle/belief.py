"""How far the validation score of a chosen model is to be believed: by what is known of it."""

from typing import Annotated

from pydantic import Field

from objectives.bundle.belief_in_ensemble import Judged, Weighed
from objectives.bundle.belief_in_one import Believed, Confirmed, Named, Optimistic, Unconfirmed

Belief = Annotated[
    Confirmed | Believed | Optimistic | Unconfirmed | Named | Weighed | Judged,
    Field(discriminator="kind"),
]
