"""What is recorded: tables, each a list of runs whose configs stand in a committed file before the first
of them is trained.

A plan has four parts, each written when all runs of the ones before are recorded: configs that need no
model, those that the model proposes by what these have shown, the best of all, trained again on fresh splits,
and the control with two of these on further ones, since one run of it a split says little of their lead.
"""

import csv
import json
import os
import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from objectives.data.options import DataOptions
from spaces import Space
from spaces.dice import FromDice, Near
from spaces.values import Scalar

FOLDER = Path(__file__).parent
SPACE = FOLDER / "space.yaml"
TABLES = FOLDER / "tables"
SHARES = (0.7, 0.3, 0.0)  # a table's truth is other seeds, so none of its frames are sealed
CONTROL = "control"
CONTROLS = 10
REPEATS = 2
EACH = 32  # configs of one kind
BEST = 16  # configs that are trained again,
TURNS = 4  # so often, with seeds and splits that nobody has seen
FEW = 2  # of these, which are trained with the control so often again,
MORE_TURNS = 8  # each time on a further split


@dataclass(frozen=True)
class Table:
    """Data on which configs are recorded."""

    name: str
    part: str  # of the places of the Mars file; empty: generated terrain
    seed: int  # of the split and the trainings
    frames: int = 0  # generated ones

    @property
    def source(self) -> str:
        """Where its frames lie.

        Raises:
            SystemExit: The file is not at hand.
        """
        if not self.part:
            return f"synthetic:{self.frames}"
        if not (path := os.environ.get("MARS_NPZ", "")):
            raise SystemExit("bench-tables: MARS_NPZ must name the file of the Mars frames")
        return path

    def options(self) -> DataOptions:
        """Return how its frames are read: those of its places, none of the others'."""
        if not self.part:
            return DataOptions(shares=SHARES, seed=self.seed)
        with np.load(self.source) as arrays:
            places = arrays["training_groups"].tolist()
        with (FOLDER / "mars_places.csv").open() as lines:
            part_of = {int(row["place"]): row["part"] for row in csv.DictReader(lines)}
        others = tuple(
            str(frame) for frame, place in enumerate(places) if part_of[place] != self.part
        )
        return DataOptions(shares=SHARES, seed=self.seed, leave_out=tuple(sorted(others)))


ALL = {
    table.name: table
    for table in (
        Table("mars-a", "a", seed=1),
        Table("terrain", "", seed=2, frames=560),
        Table("mars-b", "b", seed=3),
    )
}


@dataclass(frozen=True)
class Planned:
    """A run of a table, in the order in which they are trained: ``config`` is its config's name,
    ``turn`` 0 on the table's own split, else the number of a fresh one.
    """

    number: int
    config: str
    params: Mapping[str, Scalar]
    turn: int


def plan_of(table: Table) -> list[Planned]:
    """Return the runs of a table as its file lists them; none where there is no file."""
    path = _path(table)
    if not path.exists():
        return []
    with path.open() as lines:
        return [
            Planned(int(row["number"]), row["config"], json.loads(row["params"]), int(row["turn"]))
            for row in csv.DictReader(lines)
        ]


def first_runs(table: Table, space: Space) -> Iterator[tuple[str, Mapping[str, Scalar], int]]:
    """Yield the runs that need no model: the control, configs from all of the space, and configs near
    the control. Each has one run before any has its second, so that what is cut short is a table, too.
    """
    dice = random.Random(f"{table.name} {table.seed}")
    configs: list[tuple[str, Mapping[str, Scalar]]] = []
    for number in range(EACH):
        for kind, near in (("uniform", None), ("near", Near(space.control))):
            source = FromDice(dice, near)
            space.draw(source)
            configs.append((f"{kind} {number}", dict(source.answers)))
    control = (CONTROL, dict(space.control), 0)
    for _ in range(REPEATS):
        yield control
        for place, config in enumerate(configs):
            yield (*config, 0)
            if place % (2 * EACH // (CONTROLS // REPEATS - 1)) == 0 and place:
                yield control
        yield control


def extend(table: Table, configs: Iterable[tuple[str, Mapping[str, Scalar], int]]) -> None:
    """Add runs at the end of a table's plan, each with its config's name, parameters and turn."""
    path = _path(table)
    planned = len(plan_of(table))
    with path.open("a", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if not planned:
            writer.writerow(["number", "config", "params", "turn"])
        for number, (config, params, turn) in enumerate(configs, start=planned):
            writer.writerow([number, config, json.dumps(params, separators=(",", ":")), turn])


def _path(table: Table) -> Path:
    return TABLES / f"{table.name}.plan.csv"
