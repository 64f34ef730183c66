"""A space as a study stores it, read again."""

from collections.abc import Mapping

from pydantic import TypeAdapter, ValidationError

from objectives.config import GivenWeights
from objectives.config.foreign import lacking_parts
from objectives.errors import Problem, ProblemsError
from spaces.files.layer import read_layer
from spaces.files.resolve import resolve_domains
from spaces.pruning import UNSTATED_PRUNING
from spaces.sampler import UNSTATED_SAMPLER
from spaces.source import FromParams
from spaces.space import Space
from spaces.values import shown

_GIVEN: TypeAdapter[tuple[GivenWeights, ...]] = TypeAdapter(tuple[GivenWeights, ...])


def stored_weights(stored: Mapping[str, object]) -> tuple[GivenWeights, ...]:
    """Return the weights that the study of a stored space was given.

    Raises:
        ProblemsError: It names what are none.
    """
    try:
        return _GIVEN.validate_python(stored.get("weights", ()))
    except ValidationError:
        raise ProblemsError(
            "stored space", [Problem("weights", "must be given weights", shown(stored["weights"]))]
        ) from None


def load_stored_space(stored: Mapping[str, object]) -> Space:
    """Return the space that ``Space.to_dict`` gave.

    Raises:
        ProblemsError: It no longer fits the config of this version.
    """
    match stored:
        case {"domains": dict(written), "control": dict(control), **rest} if rest.keys() <= {
            "pruning",
            "recipes",
            "sampler",
            "foreign",
            "steps",
            "weights",
        }:
            foreign = rest.pop("foreign", {})
            if not isinstance(foreign, dict):
                raise ProblemsError(
                    "stored space", [Problem("foreign", "must name packages", shown(foreign))]
                )
            steps = rest.pop("steps", [])
            if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
                raise ProblemsError(
                    "stored space", [Problem("steps", "must be parameters", shown(steps))]
                )
            weights = stored_weights(rest)
            rest.pop("weights", None)
            if absent := lacking_parts(foreign):
                raise ProblemsError("stored space", absent)
            layer, problems = read_layer({**written, **rest})
        case _:
            raise ProblemsError(
                "stored space", [Problem("space", "must hold domains and control", shown(stored))]
            )
    domains, unfit = resolve_domains([layer], own=frozenset())
    if problems or unfit:
        raise ProblemsError("stored space", [*problems, *unfit])
    space = Space(
        domains,
        control,
        layer.pruning or UNSTATED_PRUNING,
        layer.recipes or (),
        layer.sampler or UNSTATED_SAMPLER,
        tuple(steps),
        weights,
    )
    for params in (control, *steps):
        space.draw(FromParams(params))  # raises when they do not fit
    return space
