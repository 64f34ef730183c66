"""The one tree of errors that a user may see; the command line turns each into one line and an exit code.

SearchError
├── UserError                 exit code 2: the user can mend it (a wrong file, an unknown study)
│   ├── ProblemsError             several problems found at once, one line each
│   ├── NoStudyError              the database has no such study, or no tables yet
│   ├── OutdatedError             a later program has upgraded the database beyond this one
│   ├── ForeignNameError          another program has a study of this name
│   └── BadScoreError             a score of another package gives what is none
├── NotBetterError            exit code 1: what was to be better was measured, and is not
└── WorldError                exit code 1: the surroundings failed (no database, no space left)
    ├── StoreAwayError            the artifact store fails
    ├── BlobMissingError          it does not hold what was asked for
    ├── BlobCorruptError          it holds other bytes
    ├── LeaseLostError            the trial belongs to another worker by now
    ├── DivergedError             the loss is not finite
    ├── DoesNotFitError           memory is too small, however few frames go through the model at once
    ├── MemoryTakenError          others hold the device's memory
    ├── ChildDiedError            the trial's process has ended without a word
    ├── ChildHungError            it stands still
    ├── UnusableError             it said what cannot be used
    ├── SurroundingsError         the trial cannot be run here, through no fault of its own
    ├── InterruptedTrialError     the worker puts the trial aside: it was asked to, or a limit is reached
    ├── BrokenDeviceError         the worker's device fails a test
    ├── DividedError              its GPU is divided by other workers in another way
    └── NoSlotError               all slots of its GPUs are taken

Below this file each stands where it is raised.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

LONGEST = 500  # characters of one part of a message: a file may hold a name of megabytes


def one_line(text: str, longest: int = LONGEST) -> str:
    """Return the text as one line of a terminal: what is not printable is written as an escape,
    what is long is cut.
    """
    shown = text if len(text) <= longest else f"{text[:longest]}..."
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in shown
    )


def listed(values: Iterable[object], most: int = 8) -> str:
    """Return the values in one line; of many, the first and how many more."""
    shown = [str(value) for value in values]
    return ", ".join(shown[:most]) + (f" and {len(shown) - most} more" if len(shown) > most else "")


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says, the name of its class when it says nothing; fit
    for a terminal.
    """
    return one_line((str(error).strip() or type(error).__name__).splitlines()[0])


@dataclass(frozen=True)
class Problem:
    """One broken rule: where (a file, a frame or a field path), the rule, and the value that breaks
    it.
    """

    where: str
    rule: str
    value: str

    def __str__(self) -> str:
        return f"{one_line(self.where)}: {one_line(self.rule)}, got {one_line(self.value)}"


def condensed(problems: Sequence[Problem], most: int = 10) -> list[Problem]:
    """Return the same problems with at most so many of one rule, then one that counts the rest:
    what a terminal can show.
    """
    counts = Counter(problem.rule for problem in problems)
    seen: Counter[str] = Counter()
    shown = []
    for problem in problems:
        seen[problem.rule] += 1
        if seen[problem.rule] <= most:
            shown.append(problem)
        elif seen[problem.rule] == counts[problem.rule]:
            shown.append(
                Problem(
                    f"{counts[problem.rule] - most} more places", problem.rule, "other values there"
                )
            )
    return shown


class SearchError(Exception):
    """Base of every error that ends a command with one clear line."""

    exit_code = 1


class UserError(SearchError):
    """Something the user gave cannot work; the message says what, which and what to do."""

    exit_code = 2


class ProblemsError(UserError):
    """Several problems in one input, all of them, in the order in which they were found.

    ``remedy`` are lines to be copied that would mend some of them.
    """

    def __init__(self, subject: str, problems: Sequence[Problem], remedy: str = "") -> None:
        self.subject = subject
        self.problems = tuple(problems)
        self.remedy = remedy
        count = f"{len(self.problems)} problem" + ("s" if len(self.problems) != 1 else "")
        super().__init__(
            "\n".join(
                [
                    f"{one_line(subject)}: {count}",
                    *(f"  {problem}" for problem in self.problems),
                    *remedy.splitlines(),
                ]
            )
        )


class NotBetterError(SearchError):
    """What was asked for was measured and is not better than what there is without it; the message
    has both numbers.
    """


class WorldError(SearchError):
    """The surroundings failed (database, disk, network); the same command may work later."""
