"""What searches in virtual time chose: one line of a file for each study, a file for each table and kind of world, and
another where that is full.
"""

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count, takewhile
from pathlib import Path
from typing import Any

from search_bench.parts import GROUND
from search_bench.plans import TABLES

EVERY = 4  # trainings, after which a choice is asked for again
COLUMNS = (
    "runs",
    "method",
    "workers",
    "repetition",
    "begun",
    "complete",
    "highest",
    "posterior",
    "params",
)
DIGITS = 6  # of a parameter
FULL = 1_900_000  # bytes, from which on studies go into the next file
Params = Mapping[str, Any]


@dataclass(frozen=True)
class Study:
    """A study in the world of so many recorded runs, asked for its choice every so many trainings: how many
    trials had begun and were complete by then, and the numbers of those that the highest score and the
    posterior choose, with their parameters.
    """

    runs: int
    method: str
    workers: int
    repetition: int
    begun: list[int]
    complete: list[int]
    highest: list[int]
    posterior: list[int]
    params: Mapping[int, Params]

    @property
    def budget(self) -> int:
        """Its whole budget."""
        return EVERY * len(self.begun)


def budgets_to(budget: int) -> list[int]:
    """Return after which budgets a study with this whole budget is asked for its choice."""
    return list(range(EVERY, budget + 1, EVERY))


def studies_of(table: str, kept_as: str = "choices") -> list[Study]:
    """Return the studies of a table that were kept, of one kind of world."""
    rows = list[dict[str, str]]()
    for path in takewhile(Path.exists, _files(table, kept_as)):
        with path.open() as lines:
            rows += csv.DictReader(lines)
    return [_study(row) for row in rows]


def append(table: str, study: Study, kept_as: str = "choices") -> None:
    """Add a study to those of a table: at the end of its last file."""
    path = next(
        each for each in _files(table, kept_as) if not each.exists() or each.stat().st_size < FULL
    )
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if new:
            writer.writerow(COLUMNS)
        lists = (study.begun, study.complete, study.highest, study.posterior)
        numbers = [" ".join(map(str, each)) for each in lists]
        params = json.dumps(
            {str(key): _differing(value) for key, value in study.params.items()},
            separators=(",", ":"),
        )
        writer.writerow(
            [study.runs, study.method, study.workers, study.repetition, *numbers, params]
        )


def _files(table: str, kept_as: str) -> Iterator[Path]:
    """Give the names of a table's files, without end."""
    yield TABLES / f"{table}.{kept_as}.csv"
    for number in count(2):
        yield TABLES / f"{table}.{kept_as}.{number}.csv"


def rounded(params: Params) -> Params:
    """Return parameters with as many digits as are kept."""
    return {
        name: float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value
        for name, value in params.items()
    }


def _differing(params: Params) -> Params:
    """Return what parameters have otherwise than the control, None for what they lack."""
    control = GROUND.control
    lacking = {name: None for name in control if name not in params}
    return {name: each for name, each in params.items() if control.get(name) != each} | lacking


def _whole(differing: Params) -> Params:
    return {
        name: value for name, value in {**GROUND.control, **differing}.items() if value is not None
    }


def _study(row: Mapping[str, str]) -> Study:
    lists = (
        [*map(int, row[name].split())] for name in ("begun", "complete", "highest", "posterior")
    )
    params = {int(number): _whole(each) for number, each in json.loads(row["params"]).items()}
    return Study(
        int(row["runs"]), row["method"], int(row["workers"]), int(row["repetition"]), *lists, params
    )
