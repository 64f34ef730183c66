"""What searches choose, in virtual time: the real code of each, on worlds made of the recorded tables.

Each line of the file is what one study would hand out after a budget, chosen by the highest score and by the
posterior of its runs. What stands in the file is skipped: it may be stopped at any time.
``python tests/bench_search.py --searches`` judges it.
"""

import argparse
import csv
import json
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import optuna
from search_bench.parts import GROUND
from search_bench.plans import ALL, TABLES
from search_bench.surrogate import Surrogate
from search_bench.virtual import Method, Trained, ours, peers, play

from search.posterior.belief import Believer, Run
from spaces.pruning import Halving, NoPruning
from spaces.sampler import Sampler

BUDGETS = (8, 16, 40)
COLUMNS = ("method", "workers", "repetition", "budget", "choice", "params", "trials", "complete")


def methods() -> list[Method]:
    """Return what is compared: the service's ways and the peers'."""
    most = BUDGETS[-1]
    return [
        ours("model", Sampler.MODEL, NoPruning(), most),
        ours("model + halving", Sampler.MODEL, Halving(), 3 * most),
        ours("tpe + halving", Sampler.TPE, Halving(), 3 * most),
        *peers(),
    ]


def main() -> None:
    """Play what the file lacks."""
    known = {method.name: method for method in methods()}
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--table", choices=ALL, required=True)
    parser.add_argument("--method", choices=known, action="append")
    parser.add_argument("--repetitions", type=int, default=40)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=1e6)
    asked = parser.parse_args()
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    until = time.monotonic() + 60 * asked.minutes
    world = Surrogate(asked.table)
    path = file_of(asked.table)
    there = {(row["method"], row["workers"], row["repetition"]) for row in rows_of(path)}
    for repetition in range(asked.repetitions):
        for name in asked.method or known:
            if (name, str(asked.workers), str(repetition)) in there:
                continue
            if time.monotonic() > until:
                return
            trained = play(
                known[name], world, workers=asked.workers, budget=BUDGETS[-1], seed=repetition
            )
            write(
                path,
                [
                    {"method": name, "workers": asked.workers, "repetition": repetition} | row
                    for budget in BUDGETS
                    for row in choices(trained, budget, world.epochs)
                ],
            )


def file_of(table: str) -> Path:
    """Return where the choices on a table are."""
    return TABLES / f"{table}.choices.csv"


def rows_of(path: Path) -> list[dict[str, str]]:
    """Return the lines that are there."""
    if not path.exists():
        return []
    with path.open() as lines:
        return list(csv.DictReader(lines))


def write(path: Path, rows: Sequence[dict[str, object]]) -> None:
    """Add lines at the end."""
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerows(rows)


def choices(trained: Sequence[Trained], budget: float, epochs: int) -> list[dict[str, object]]:
    """Return what a study hands out when so much is spent; the control where no trial is complete."""
    known = [(trial, *trial.by(budget, epochs)) for trial in trained]
    begun = [(trial, scores_E, whole) for trial, scores_E, whole in known if scores_E.size]
    runs = [Run(trial.values, scores_E, whole) for trial, scores_E, whole in begun]
    complete = [place for place, (*_, whole) in enumerate(begun) if whole]
    chosen = {choice: dict(GROUND.control) for choice in ("highest", "posterior")}
    if complete:
        heights = [float(begun[place][1].max()) for place in complete]
        means = Believer(GROUND.coordinates, runs, epochs).of([run.values for run in runs]).means_C
        for choice, values in (("highest", heights), ("posterior", means[complete])):
            chosen[choice] = begun[complete[int(np.argmax(values))]][0].params
    return [
        {
            "budget": budget,
            "choice": choice,
            "params": json.dumps(params, separators=(",", ":")),
            "trials": len(begun),
            "complete": len(complete),
        }
        for choice, params in chosen.items()
    ]


if __name__ == "__main__":
    main()
