"""What ``--ensemble`` asks for."""

from dataclasses import dataclass
from typing import Literal

from objectives.errors import UserError, one_line

MOST = 64  # see `objectives.bundle_settings.MOST_MEMBERS`; a test holds them equal


@dataclass(frozen=True)
class Single:
    """One network: the winner's."""


@dataclass(frozen=True)
class Averaged:
    """The average of at most so many members, or of the best one and the best one on the rarest class."""

    members: int | Literal["rare"]
    anyway: bool = False  # also where it is judged no better than its best member


EnsembleChoice = Single | Averaged


def parse_ensemble(text: str, *, anyway: bool) -> EnsembleChoice:
    """``--ensemble`` and ``--ensemble-anyway`` as a choice; a single model for an empty text.

    Raises: UserError for anything but ``rare`` and numbers from 2 to 64.
    """
    if not text:
        if anyway:
            raise UserError("--ensemble-anyway goes with --ensemble: say how many members, or rare")
        return Single()
    if text == "rare":
        return Averaged("rare", anyway)
    if not (text.isascii() and text.isdigit() and len(text) < 4 and 2 <= int(text) <= MOST):
        raise UserError(f"--ensemble must be rare or a number of members from 2 to {MOST}, got {one_line(text, 40)!r}")
    return Averaged(int(text), anyway)
