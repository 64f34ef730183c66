"""What ``--ensemble`` asks for."""

from dataclasses import dataclass
from typing import Literal

from objectives.errors import UserError, one_line

MOST = 64  # see `objectives.bundle_settings.MOST_MEMBERS`; a test holds them equal


@dataclass(frozen=True)
class Single:
    """One network: the winner's."""


@dataclass(frozen=True)
class Combined:
    """An average of at most so many members, or of the best one and the best one on the rarest class; or a stack."""

    members: int | Literal["rare", "stack"]
    anyway: bool = False  # also where it is judged no better than its best member


EnsembleChoice = Single | Combined


def parse_ensemble(text: str, *, anyway: bool) -> EnsembleChoice:
    """``--ensemble`` and ``--ensemble-anyway`` as a choice; a single model for an empty text.

    Raises: UserError for anything but ``rare``, ``stack`` and numbers from 2 to 64.
    """
    if not text:
        if anyway:
            raise UserError("--ensemble-anyway goes with --ensemble: say how many members, rare, or stack")
        return Single()
    match text:
        case "rare" | "stack":
            return Combined(text, anyway)
        case _:
            return Combined(_members(text), anyway)


def _members(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 4 and 2 <= int(text) <= MOST):
        raise UserError(f"--ensemble must be rare, stack or a number of members from 2 to {MOST}, got {one_line(text, 40)!r}")
    return int(text)
