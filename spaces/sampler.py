"""Who draws the configs of a study after its first ones: its space says so."""

from enum import StrEnum

from objectives.errors import Problem
from spaces.values import shown


class Sampler(StrEnum):
    """What draws a trial's config."""

    MODEL = "model"  # what the posterior of all runs expects most of
    TPE = "tpe"
    RANDOM = "random"


SAMPLER_BY_DEFAULT = Sampler.MODEL
UNSTATED_SAMPLER = Sampler.TPE  # of a stored space that says nothing: it was the only one


def read_sampler(written: object) -> Sampler | list[Problem]:
    """Return the sampler that a space file's ``sampler`` states, or what is wrong with it."""
    for each in Sampler:
        if written == each.value:
            return each
    return [Problem("sampler", f"must be {', '.join(Sampler)}", shown(written))]
