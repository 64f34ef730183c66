"""What a score was computed on. Imports no torch.

The same weights give the same score to the last bit only on the same kind of processor, by the same
build of torch and, on a CPU, with as many threads: elsewhere sums are formed in another order, and
the label of a pixel may flip.
"""

from dataclasses import dataclass

from objectives.errors import WorldError

# how far a score may move when it is measured again
SAME = 1e-6
ACROSS = 2e-3


@dataclass(frozen=True)
class Processor:
    """A type of device (cpu, cuda), its model with torch's build, and its threads; old bundles name
    no model.
    """

    type: str
    name: str
    threads: int = 0  # of a CPU


def allowed_difference(now: Processor, then: Processor) -> float:
    """Return how far a score that is measured again may lie from the one before."""
    return SAME if (now.type, now.name) == (then.type, then.name) else ACROSS


def refuse_other_score(
    what: str, before: float, again: float, *, now: Processor, then: Processor
) -> None:
    """Refuse weights that do not score, on ``now``, what was measured of them on ``then``.

    Raises:
        WorldError: The two differ by more than another processor explains.
    """
    allowed = allowed_difference(now, then)
    if not abs(again - before) <= allowed:
        raise WorldError(
            f"{what} scored {before:.6f}, its weights score {again:.6f} on the same frames "
            f"(allowed difference {allowed:g}); "
            "nothing was exported"
        )
