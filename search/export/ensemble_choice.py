"""What ``--ensemble``, ``--ensemble-of`` and what goes with them ask for."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from objectives.errors import UserError, one_line

MOST = 64  # see `objectives.program.settings.MOST_MEMBERS`; a test holds them equal


@dataclass(frozen=True)
class Single:
    """One network: the winner's."""


@dataclass(frozen=True)
class Combined:
    """An average of at most so many members, or of the best one and the best one on the rarest
    class; or a stack.
    """

    members: int | Literal["rare", "stack"]
    anyway: bool = False  # also where it is not surely better than the single model
    searched: bool = False  # trials of the search, also where it is confirmed


@dataclass(frozen=True)
class Listed:
    """An even average of these trials of the search, by number or by the name of their recipe."""

    members: tuple[str, ...]
    anyway: bool = False
    searched: ClassVar[bool] = True  # always


EnsembleChoice = Single | Combined | Listed


def parse_ensemble(
    text: str, listed: str = "", *, anyway: bool, searched: bool = False
) -> EnsembleChoice:
    """``--ensemble``, ``--ensemble-of``, ``--ensemble-anyway`` and ``--ensemble-searched`` as a
    choice; a single model for empty texts.

    Raises:
        UserError: For both, for anything but ``rare``, ``stack`` and numbers from 2 to 64, for less
            than two members, and for what goes with neither.
    """
    if text and listed:
        raise UserError(
            "--ensemble chooses the members, --ensemble-of names them: leave out either"
        )
    if listed:
        return Listed(_names(listed), anyway)
    if not text:
        if anyway:
            raise UserError("--ensemble-anyway goes with --ensemble or --ensemble-of: say which")
        if searched:
            raise UserError("--ensemble-searched goes with --ensemble: say how many members")
        return Single()
    match text:
        case "rare" | "stack":
            return Combined(text, anyway, searched)
        case _:
            return Combined(_members(text), anyway, searched)


def _names(listed: str) -> tuple[str, ...]:
    from spaces import load_ensembles

    known = {
        each.name.lower(): tuple(recipe.row for recipe in each.members) for each in load_ensembles()
    }
    words = [name.strip() for name in listed.split(",")]
    names = tuple(name for word in words for name in known.get(word.lower(), (word,)))
    if not (2 <= len(names) <= MOST and len(set(names)) == len(names) and all(names)):
        wanted = f"from 2 to {MOST} different trials, by number or recipe, like 3,7 or B16,B17"
        raise UserError(f"--ensemble-of must name {wanted}, got {one_line(listed, 80)!r}")
    return names


def _members(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 4 and 2 <= int(text) <= MOST):
        raise UserError(
            f"--ensemble must be rare, stack or a number of members from 2 to {MOST}, got "
            f"{one_line(text, 40)!r}"
        )
    return int(text)
