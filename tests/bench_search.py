"""What a search's choice is worth, replayed from the recorded tables: ``python tests/bench_search.py``.

A study is a sample of a table's configs, the control always among them, of each of which one run is seen. What
each rule chooses is judged by the mean of its *other* runs less that of the control's: nothing that a rule has
seen judges it, and no model does. A run that did not come to its end cannot be chosen, and counts in judging as
the worst that did. Rules see the same studies, so their differences are surer than their gains, which share the
control's few runs. The errors are of the replay alone: they say nothing of how few configs and runs a table has.

What whole searches are worth is judged in the worlds that `make bench-peers` played in, where the truth is known.
"""

import argparse
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from bench_peers import methods
from search_bench.choices import studies_of
from search_bench.judging import Verdict, shown
from search_bench.parts import GROUND, best_of
from search_bench.plans import ALL, CONTROL, plan_of
from search_bench.runs import Recorded, runs_of
from search_bench.surrogate import Surrogate, quality

from search.posterior.belief import Believer, Run
from search.posterior.carried import final_score
from search.process.messages import Cause
from spaces.values import Value

SIZES = (8, 16, 40)


@dataclass(frozen=True)
class Seen:
    """A config as a study has it: its name, its values, and the run that is seen."""

    config: str
    values: Mapping[str, Value]
    run: Recorded

    @property
    def whole(self) -> bool:
        """Whether its run came to its end, so that it can be chosen."""
        return self.run.cause == Cause.COMPLETED


Rule = Callable[[Sequence[Seen], int], int]


@dataclass(frozen=True)
class World:
    """A table: the runs of each config that has at least two."""

    name: str
    epochs: int
    runs: Mapping[str, Sequence[Recorded]]
    worst: float  # of the scores of whole runs

    @cached_property
    def values(self) -> Mapping[str, Mapping[str, Value]]:
        """The values of each config."""
        params = {planned.config: planned.params for planned in plan_of(ALL[self.name])}
        return {config: GROUND.tried(params[config]).values for config in self.runs}

    def study(self, dice: np.random.Generator, size: int) -> list[Seen]:
        """Return a study of so many configs, the control first."""
        others = [config for config in self.runs if config != CONTROL]
        chosen = dice.choice(others, min(size - 1, len(others)), replace=False).tolist()
        return [
            Seen(config, self.values[config], dice.choice(np.array(self.runs[config], object)))
            for config in (CONTROL, *chosen)
        ]

    def gain(self, seen: Seen, control: Seen) -> float:
        """Return by how much the other runs of a config are better than the control's others; 0 for
        the control.
        """
        return self._others(seen) - self._others(control)

    def _others(self, seen: Seen) -> float:
        others = [run for run in self.runs[seen.config] if run is not seen.run]
        return float(
            np.mean(
                [
                    final_score(run.scores_E) if run.cause == Cause.COMPLETED else self.worst
                    for run in others
                ]
            )
        )


def world_of(name: str) -> World:
    """Return a table.

    Raises:
        SystemExit: Nothing of it is recorded.
    """
    recorded = list(runs_of(name).values())
    whole = [run.scores_E for run in recorded if run.cause == Cause.COMPLETED]
    if not whole:
        raise SystemExit(f"bench-search: no run of {name} is recorded: `make bench-tables` does it")
    runs = defaultdict[str, list[Recorded]](list)
    for run in recorded:
        runs[run.config].append(run)
    # of a config with a single run nothing else could judge a choice
    several = {config: each for config, each in runs.items() if len(each) > 1}
    return World(name, max(map(len, whole)), several, min(map(final_score, whole)))


def highest(study: Sequence[Seen], epochs: int) -> int:
    """Choose the highest score of any epoch."""
    return int(np.argmax([seen.run.scores_E.max() if seen.whole else -1.0 for seen in study]))


def last(study: Sequence[Seen], epochs: int) -> int:
    """Choose the highest mean of the last epochs."""
    return int(
        np.argmax([final_score(each.run.scores_E) if each.whole else -1.0 for each in study])
    )


def posterior(study: Sequence[Seen], epochs: int) -> int:
    """Choose as the service does."""
    runs = [
        Run(each.values, each.run.scores_E, each.whole) for each in study if each.run.scores_E.size
    ]
    belief = Believer(GROUND.coordinates, runs, epochs).of([seen.values for seen in study])
    return best_of(belief, [place for place, seen in enumerate(study) if seen.whole])


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
        world = world_of(name)
        for size in SIZES:
            if size <= len(world.runs):
                report(world, size, asked.repetitions)
    for name in names:
        if studies_of(name):
            told = asked.told or max(study.runs for study in studies_of(name))
            found = quality(name, told)
            print(
                f"\n{name}, {told} runs: rank correlation of the surrogate with configs that it has not seen: "
                f"all {found.all[0]:.2f} of {found.all[1]}, the best quarter "
                f"{found.best_quarter[0]:.2f}, around the control {found.near_control[0]:.2f}"
            )
            verdict = Verdict(Surrogate(name, told=told), asked.workers, asked.budget)
            print(*verdict.lines(), sep="\n", flush=True)
            there = {each.method for each in verdict.all}
            if missing := [each for each in names_of(asked.budget) if each not in there]:
                print(f"not played here: {', '.join(missing)}", flush=True)


def names_of(budget: int) -> list[str]:
    """Return the names of all searches that can be played."""
    return [method.name for method in methods(budget)]


def report(world: World, size: int, repetitions: int) -> None:
    """Print the lines of one size; after each mean its standard error."""
    gains = defaultdict[str, list[float]](list)
    for seed in range(repetitions):
        study = world.study(np.random.default_rng((seed, size)), size)
        for name, rule in RULES.items():
            chosen = study[rule(study, world.epochs)]
            gains[name].append(world.gain(chosen, study[0]))
    for name, values in gains.items():
        lead = np.array(values) - np.array(gains["highest score"])
        print(
            f"| {world.name} | {size} | {name} | {shown(np.array(values))} | {shown(lead)} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
