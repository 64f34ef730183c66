"""What a search's choice is worth, replayed from the recorded tables: ``python tests/bench_search.py``.

A study is a sample of a table's configs, the control always among them, of each of which one run is seen. What
each rule chooses is judged by what the study has not seen (`search_bench/tabular.py`): fresh seeds and splits where
the table has them, else all other runs. Rules see the same studies, so their differences are surer than their gains,
which share the control's few runs. The errors are of the replay alone: they say nothing of how few configs and runs
a table has.

What whole searches are worth is judged in the worlds that `make bench-peers` played in, where the truth is known.
"""

import argparse
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from bench_peers import methods
from search_bench.choices import studies_of
from search_bench.judging import Verdict, shown
from search_bench.parts import GROUND, best_of
from search_bench.plans import ALL
from search_bench.runs import runs_of
from search_bench.surrogate import Priced, Quality, Surrogate, quality
from search_bench.tabular import Tabular
from search_bench.virtual import World

from search.posterior.belief import Believer, Run
from search.posterior.carried import final_score
from spaces.values import Value

SIZES = (8, 16, 40)
SAID: Mapping[type[World], str] = {
    Surrogate: "as a surrogate",
    Priced: "as a surrogate where a training costs its seconds",
    Tabular: "and its configs alone",
}


@dataclass(frozen=True)
class Seen:
    """A config as a study has it: its place in the table and its values, and which of its runs is seen."""

    place: int
    values: Mapping[str, Value]
    run: int
    scores_E: np.ndarray  # of that run


Rule = Callable[[Sequence[Seen], int], int]


def study_of(table: Tabular, dice: np.random.Generator, size: int) -> list[Seen]:
    """Return a study of so many of a table's configs, the control first."""
    others = [int(place) for place in table.offered if place != table.control]
    chosen = dice.choice(others, min(size - 1, len(others)), replace=False).tolist()
    return [_seen(table, dice, place) for place in (table.control, *chosen)]


def _seen(table: Tabular, dice: np.random.Generator, place: int) -> Seen:
    run = int(dice.integers(len(table.smooth.curves[place])))
    return Seen(place, table.values[place], run, table.smooth.curves[place][run])


def highest(study: Sequence[Seen], epochs: int) -> int:
    """Choose the highest score of any epoch."""
    return int(np.argmax([seen.scores_E.max() for seen in study]))


def last(study: Sequence[Seen], epochs: int) -> int:
    """Choose the highest mean of the last epochs."""
    return int(np.argmax([final_score(each.scores_E) for each in study]))


def posterior(study: Sequence[Seen], epochs: int) -> int:
    """Choose as the service does."""
    runs = [Run(each.values, each.scores_E, True) for each in study]
    belief = Believer(GROUND.coordinates, runs, epochs).of([seen.values for seen in study])
    return best_of(belief, range(len(study)))


RULES: Mapping[str, Rule] = {
    "control only": lambda study, epochs: 0,
    "highest score": highest,
    "highest mean of the last epochs": last,
    "posterior": posterior,
}


def main() -> None:
    """Print what each rule gains, by table and size of the study, and what each search does."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--table", choices=ALL, action="append")
    parser.add_argument("--repetitions", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2, help="of searches (%(default)s)")
    parser.add_argument("--budget", type=int, default=40, help="of searches (%(default)s)")
    parser.add_argument("--told", type=int, help="recorded runs of their world; else the most")
    asked = parser.parse_args()
    names = asked.table or [name for name in ALL if runs_of(name)]
    print(
        "| table | trainings | choice by | gain over the control | less that of the highest score |"
    )
    print("|---|--:|---|--:|--:|")
    for name in names:
        table = Tabular(name)
        for size in SIZES:
            if size <= len(table.offered):
                report(table, size, asked.repetitions)
    for name, kind in product(names, SAID):
        if studies := studies_of(name, kind.kept_as):
            told = asked.told or max(study.runs for study in studies)
            print(f"\n{name}, {told} runs {SAID[kind]}")
            if kind is Surrogate:
                print(told_of(quality(name, told)))
            verdict = Verdict(kind(name, told=told), asked.workers, asked.budget)
            print(*verdict.lines(), sep="\n", flush=True)
            there = {each.method for each in verdict.all}
            if missing := [each for each in names_of(asked.budget) if each not in there]:
                print(f"not played here: {', '.join(missing)}", flush=True)


def told_of(found: Quality) -> str:
    """Say how well a surrogate tells configs that it has not seen."""
    return (
        f"Rank correlation with configs that it has not seen: all {found.all[0]:.2f} of {found.all[1]}, the best "
        f"quarter {found.best_quarter[0]:.2f}, around the control {found.near_control[0]:.2f}"
    )


def names_of(budget: int) -> list[str]:
    """Return the names of all searches that can be played."""
    return [method.name for method in methods(budget)]


def report(table: Tabular, size: int, repetitions: int) -> None:
    """Print the lines of one size; after each mean its standard error."""
    gains = defaultdict[str, list[float]](list)
    for seed in range(repetitions):
        study = study_of(table, np.random.default_rng((seed, size)), size)
        for name, rule in RULES.items():
            chosen = study[rule(study, table.epochs)]
            gains[name].append(table.worth(chosen.place, chosen.run, study[0].run))
    for name, values in gains.items():
        lead = np.array(values) - np.array(gains["highest score"])
        print(
            f"| {table.name} | {size} | {name} | {shown(np.array(values))} | {shown(lead)} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
