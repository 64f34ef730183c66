"""What somebody asks of a confirmation, and what it is to be by that."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

from objectives.data.options import PARTS
from objectives.errors import UserError
from search.study.purpose import Confirming
from search.study.stored import Study

VALIDATION = PARTS[1]


@dataclass(frozen=True)
class Asked:
    """What somebody asks of a confirmation; None: nothing, so that what is there will do."""

    top: int | None = None
    seeds: int | None = None
    resplit: bool | None = None
    folds: int | None = None

    def __post_init__(self) -> None:
        """Refuse choices that exclude each other.

        Raises:
            UserError: Two of them do.
        """
        if self.folds is not None and not (self.seeds is None and self.resplit is None):
            other = "--seeds" if self.seeds is not None else "--resplit or --no-resplit"
            raise UserError(
                f"--folds trains each candidate once on each fold: leave out either it or {other}"
            )

    @property
    def of_seeds(self) -> bool:
        """Whether it is a confirmation by seeds that is asked for."""
        return self.seeds is not None or self.resplit is not None


@dataclass(frozen=True)
class Wanted:
    """What a confirmation is to be."""

    top: int = 5
    seeds: int = 3
    resplit: bool = True
    folds: int = 0

    @classmethod
    def of(cls, searched: Study, newest: Confirming | None = None) -> "Wanted":
        """Return what a study's confirmation is unless somebody asks for more: as its newest one,
        else three seeds, on the parts that its owner has given, or where none has, on parts dealt
        anew.
        """
        usual = cls(resplit=VALIDATION not in searched.spec.given)
        if newest is None:
            return usual
        if newest.folds:
            return replace(usual, top=newest.best, folds=newest.folds)
        return cls(newest.best, newest.seeds, newest.resplit)

    def but(self, asked: Asked) -> "Wanted":
        """Return this with what was asked for."""
        said = {name: value for name, value in asdict(asked).items() if value is not None}
        folds = 0 if asked.of_seeds else self.folds
        return replace(self, **{"folds": folds} | said)


def told_of_given(searched: Study, wanted: Wanted, asked: Asked) -> Iterator[str]:
    """Yield what becomes of a validation part that the data's owner has given, unless that was
    asked for.
    """
    if VALIDATION not in searched.spec.given or asked.resplit is not None:
        return
    if wanted.folds:
        yield f"the given training and validation parts are dealt into {wanted.folds} folds"
    elif not wanted.resplit:
        yield (
            "the validation part is given, so that every seed keeps it: --resplit deals training "
            "and validation anew"
        )
