"""Recorded runs: one line of a table's file for each, appended as soon as it has ended and never changed."""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from search_bench.plans import TABLES

COLUMNS = (
    "number",
    "config",
    "seed",
    "cause",
    "multiply_adds",
    "scores",
    "soft_scores",
    "balanced_nll",
    "measured",
)
DIGITS = 5


@dataclass(frozen=True)
class Recorded:
    """A run: its scores, E of them, one for each epoch that was trained."""

    number: int  # in the plan
    config: str
    seed: int
    cause: str  # why it ended
    multiply_adds: int  # of one frame, forward
    scores_E: np.ndarray
    soft_scores_E: np.ndarray
    balanced_nll_E: np.ndarray
    measured_EK: np.ndarray  # by class; NaN of one that does not occur

    def line(self) -> dict[str, object]:
        """Return it as its file has it."""
        return {
            "number": self.number,
            "config": self.config,
            "seed": self.seed,
            "cause": self.cause,
            "multiply_adds": self.multiply_adds,
            "scores": _joined(self.scores_E),
            "soft_scores": _joined(self.soft_scores_E),
            "balanced_nll": _joined(self.balanced_nll_E),
            "measured": ";".join(_joined(values_K) for values_K in self.measured_EK),
        }


def runs_of(table: str) -> dict[int, Recorded]:
    """Return what has been recorded of a table, by number."""
    path = _path(table)
    if not path.exists():
        return {}
    with path.open() as lines:
        return {int(row["number"]): _recorded(row) for row in csv.DictReader(lines)}


def append(table: str, runs: Iterable[Recorded]) -> None:
    """Add runs at the end of a table's file."""
    path = _path(table)
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerows(run.line() for run in runs)


def _path(table: str) -> Path:
    return TABLES / f"{table}.runs.csv"


def _recorded(row: Mapping[str, str]) -> Recorded:
    classes = [_split(values) for values in row["measured"].split(";")] if row["measured"] else []
    return Recorded(
        number=int(row["number"]),
        config=row["config"],
        seed=int(row["seed"]),
        cause=row["cause"],
        multiply_adds=int(row["multiply_adds"]),
        scores_E=_split(row["scores"]),
        soft_scores_E=_split(row["soft_scores"]),
        balanced_nll_E=_split(row["balanced_nll"]),
        measured_EK=np.array(classes),
    )


def _joined(values: np.ndarray) -> str:
    return " ".join(f"{value:.{DIGITS}g}" for value in values)


def _split(text: str) -> np.ndarray:
    return np.array([float(word) for word in text.split()])
