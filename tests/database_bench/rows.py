"""Trials that have ended, written as rows: what Optuna and the program leave of each, by COPY.

They come of dice with the trial's number as their seed, so both sides get the same.
"""

import hashlib
import io
import json
import math
import platform
import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import psycopg2
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)

from database_bench.adapter import CLASSES, EPOCHS

RUNGS = (5, 15)
BEGIN = datetime(2025, 1, 1)
COLUMNS = {
    "trials": "trial_id, number, study_id, state, datetime_start, datetime_complete",
    "trial_params": "trial_id, param_name, param_value, distribution_json",
    "trial_values": "trial_id, objective, value, value_type",
    "trial_intermediate_values": "trial_id, step, intermediate_value, intermediate_value_type",
    "trial_user_attributes": "trial_id, key, value_json",
    "trial_system_attributes": "trial_id, key, value_json",
    "search_lease": "trial_id, owner, fence, threads, spent_s, expires_at, renewed_at",
}


@dataclass
class Dice:
    """A source of a space's values: those that are fixed, others at random; keeps each as Optuna
    would store it.
    """

    dice: random.Random
    fixed: Mapping[str, Any]
    values: dict[str, Any] = field(default_factory=dict)
    stored: list[tuple[str, float, str]] = field(default_factory=list)

    def int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        value = self.dice.randrange(low, high + 1, step)
        return int(self._keep(name, value, IntDistribution(low, high, log=log, step=step)))

    def float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        value = (
            self.dice.uniform(math.log(low), math.log(high))
            if log
            else self.dice.uniform(low, high)
        )
        value = min(high, max(low, math.exp(value) if log else value))
        return float(self._keep(name, value, FloatDistribution(low, high, log=log)))

    def choice(self, name: str, options: Sequence[Any]) -> Any:
        return self._keep(name, self.dice.choice(options), CategoricalDistribution(tuple(options)))

    def _keep(self, name: str, value: Any, distribution: BaseDistribution) -> Any:
        value = self.fixed.get(name, value)
        self.values[name] = value
        self.stored.append(
            (name, distribution.to_internal_repr(value), distribution_to_json(distribution))
        )
        return value


@dataclass
class Table:
    """Lines for COPY into the tables, by name."""

    lines: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, name: str, *values: object) -> None:
        texts = (str(value).replace("\\", "\\\\").replace("\t", "\\t") for value in values)
        self.lines[name].append("\t".join(texts) + "\n")

    def digest(self) -> str:
        """Return a fingerprint of all lines, to compare two sides by."""
        hashed = hashlib.sha256()
        for name in COLUMNS:
            for line in self.lines[name]:
                hashed.update(line.encode())
        return hashed.hexdigest()[:12]


@dataclass(frozen=True)
class Filled:
    """What was written: how many rows, how many parameters a trial has at most, a fingerprint."""

    rows: int
    parameters: int
    digest: str


def fill(url: str, draw: Callable[[Any], None], ended: int) -> Filled:
    """Write so many ended trials into a study that has just been created; those that wait in it are
    the first of them.
    """
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("SELECT study_id FROM studies")
        ((study_id,),) = cursor.fetchall()
        cursor.execute(
            "SELECT number, trial_id, value_json FROM trials JOIN trial_system_attributes "
            "USING (trial_id) WHERE key = 'fixed_params' ORDER BY number"
        )
        waiting = {number: (trial_id, json.loads(fixed)) for number, trial_id, fixed in cursor}
        table, parameters = _rows(study_id, waiting, draw, ended)
        for name, columns in COLUMNS.items():
            text = io.StringIO("".join(table.lines[name]))
            cursor.copy_expert(f"COPY {name} ({columns}) FROM STDIN", text)
        cursor.execute(
            "UPDATE trials SET state = 'COMPLETE', datetime_start = %s, datetime_complete = %s "
            "WHERE state = 'WAITING'",
            (BEGIN, BEGIN + timedelta(minutes=1)),
        )
        cursor.execute("SELECT setval('trials_trial_id_seq', (SELECT max(trial_id) FROM trials))")
        cursor.execute("UPDATE search_study SET started_at = %s", (BEGIN,))
    return Filled(sum(map(len, table.lines.values())), parameters, table.digest())


def vacuum(url: str) -> None:
    """Give the server its statistics, or its plans would depend on when it made them itself."""
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("VACUUM (ANALYZE)")
            cursor.execute("CHECKPOINT")


def _rows(
    study_id: int,
    waiting: Mapping[int, tuple[int, dict[str, Any]]],
    draw: Callable[[Any], None],
    ended: int,
) -> tuple[Table, int]:
    table = Table()
    most = 0
    last_id = max(trial_id for trial_id, _ in waiting.values())
    for number in range(ended):
        dice = random.Random(f"trial {number}")
        trial_id, fixed = waiting.get(number, (last_id + number + 1 - len(waiting), {}))
        source = Dice(dice, fixed)
        draw(source)
        most = max(most, len(source.values))
        for stored in source.stored:
            table.add("trial_params", trial_id, *stored)
        # the first ones are neither: all but a few of these come to their end
        state = "PRUNED" if number not in waiting and number % 3 == 2 else "COMPLETE"
        start = BEGIN + timedelta(seconds=20 * number)
        end = start + timedelta(seconds=60)
        if number not in waiting:
            table.add("trials", trial_id, number, study_id, state, start, end)
            relative = json.dumps(json.dumps(source.values))
            table.add("trial_system_attributes", trial_id, "tpe:relative_params:0", relative)
        _add_training(table, dice, trial_id, number, state)
        table.add("search_lease", trial_id, "", 1, 1, 60.0, f"{end}+00", f"{end}+00")
    return table, most


def _add_training(
    table: Table, dice: random.Random, trial_id: int, number: int, state: str
) -> None:
    epochs = RUNGS[number % 2] if state == "PRUNED" else EPOCHS
    quality = dice.gauss(0.5 if state == "PRUNED" else 0.6, 0.08)
    scores = [quality * (1 - math.exp(-e / 8)) + dice.gauss(0, 0.005) for e in range(1, epochs + 1)]
    for step, value in enumerate(scores, start=1):
        table.add("trial_intermediate_values", trial_id, step, repr(value), "FINITE")
    for rung in RUNGS:
        if rung <= epochs:
            verdict = {"score": scores[rung - 1], "ends": state == "PRUNED" and rung == epochs}
            key = f"judged at epoch {rung}"
            table.add("trial_system_attributes", trial_id, key, json.dumps(verdict))
    best = max(range(epochs), key=scores.__getitem__)
    value = scores[-1] if state == "PRUNED" else scores[best]  # as Optuna has it
    table.add("trial_values", trial_id, 0, repr(value), "FINITE")
    for key, attribute in _attributes(dice, epochs, best, scores[best], state):
        table.add("trial_user_attributes", trial_id, key, json.dumps(attribute))


def _attributes(
    dice: random.Random, epochs: int, best: int, score: float, state: str
) -> Iterator[tuple[str, object]]:
    yield from {
        "parameters": dice.randrange(10**5, 10**7),
        "multiply_adds": dice.randrange(10**8, 10**10),
        "memory_bytes": dice.randrange(10**8, 10**10),
        "device": "cpu",
        "epochs": epochs,
        "best_epoch": best + 1,
        "train_seconds": round(1.2 * epochs, 3),
        "scored_on": "cpu",
        "processor": f"{platform.machine()}, torch 2.9",
        "threads": 1,
    }.items()
    yield from ((f"iou {name}", score + dice.gauss(0, 0.1)) for name in CLASSES[1:])
    if state == "PRUNED":
        yield "pruned", True
    yield "end_cause", "pruned" if state == "PRUNED" else "completed"
