"""``make bench-search``: what a search's choice is truly worth, replayed from the recorded tables.

A study is a sample of a table's configs, the control always among them, of each of which one run is seen. What
each rule chooses is judged by the mean of its *other* runs less that of the control's: nothing that a rule has
seen judges it, and no model does. How often a choice is worse than the control is told by the posterior of all
other runs, since the few of one config are noisy.
"""

import argparse
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from search_bench.plans import ALL, SPACE, plan_of
from search_bench.runs import Recorded, runs_of

from search.posterior.belief import Believer, Run
from search.posterior.carried import final_score
from search.posterior.ground import SpaceGround
from search.process.messages import Cause
from spaces import load_space
from spaces.values import Value

CONTROL = "control"
SIZES = (8, 16, 40)
RESAMPLES = 2000
GROUND = SpaceGround(load_space(str(SPACE)))


@dataclass(frozen=True)
class Seen:
    """A config as a study has it: its name, its values, and the run that is seen."""

    config: str
    values: Mapping[str, Value]
    run: Recorded


Rule = Callable[[Sequence[Seen], int], int]


@dataclass(frozen=True)
class World:
    """A table: the whole runs of each config."""

    name: str
    epochs: int
    runs: Mapping[str, Sequence[Recorded]]

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

    def gains(self, study: Sequence[Seen]) -> np.ndarray:
        """Return by how much other runs of each config of a study are better than the control's; 0
        for the control.
        """
        others = np.array(
            [
                np.mean(
                    [
                        final_score(run.scores_E)
                        for run in self.runs[seen.config]
                        if run is not seen.run
                    ]
                )
                for seen in study
            ]
        )
        return np.asarray(others - others[0])

    def believed(self, study: Sequence[Seen]) -> np.ndarray:
        """Return by how much each config of a study is better than the control, as the posterior of
        all other runs of the table has it.
        """
        hidden = [
            (config, run)
            for config, runs in self.runs.items()
            for run in runs
            if not any(seen.run is run for seen in study)
        ]
        judge = Believer(
            GROUND.coordinates,
            [Run(self.values[config], run.scores_E) for config, run in hidden],
            self.epochs,
        )
        belief = judge.of([seen.values for seen in study])
        return np.asarray(belief.means_C[:-1] - belief.means_C[-1])


def world_of(name: str) -> World:
    """Return a table's whole runs."""
    recorded = [run for run in runs_of(name).values() if run.cause == Cause.COMPLETED]
    epochs = max(len(run.scores_E) for run in recorded)
    runs = defaultdict[str, list[Recorded]](list)
    for run in recorded:
        if len(run.scores_E) == epochs:
            runs[run.config].append(run)
    # of a config with a single run nothing else could judge a choice
    return World(name, epochs, {config: each for config, each in runs.items() if len(each) > 1})


def highest(study: Sequence[Seen], epochs: int) -> int:
    """Choose the highest score of any epoch."""
    return int(np.argmax([seen.run.scores_E.max() for seen in study]))


def last(study: Sequence[Seen], epochs: int) -> int:
    """Choose the highest mean of the last epochs."""
    return int(np.argmax([final_score(seen.run.scores_E) for seen in study]))


def posterior(study: Sequence[Seen], epochs: int) -> int:
    """Choose the highest posterior mean."""
    runs = [Run(seen.values, seen.run.scores_E) for seen in study]
    belief = Believer(GROUND.coordinates, runs, epochs).of([seen.values for seen in study])
    return int(np.argmax(belief.means_C[:-1]))


RULES: Mapping[str, Rule] = {
    "control only": lambda study, epochs: 0,
    "highest score": highest,
    "highest mean of the last epochs": last,
    "highest posterior mean": posterior,
}


def main() -> None:
    """Print what each rule gains, by table and size of the study."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--table", choices=ALL, action="append")
    parser.add_argument("--repetitions", type=int, default=200)
    asked = parser.parse_args()
    print("| table | trainings | choice by | true gain over the control | worse than it |")
    print("|---|--:|---|--:|--:|")
    for name in asked.table or [name for name in ALL if runs_of(name)]:
        world = world_of(name)
        for size in SIZES:
            if size <= len(world.runs):
                report(world, size, asked.repetitions)


def report(world: World, size: int, repetitions: int) -> None:
    """Print the lines of one size; an interval is of 95 %, by resampling the studies."""
    gains = defaultdict[str, list[float]](list)
    leads = defaultdict[str, list[float]](list)
    for seed in range(repetitions):
        study = world.study(np.random.default_rng((seed, size)), size)
        gained, believed = world.gains(study), world.believed(study)
        choices = {name: rule(study, world.epochs) for name, rule in RULES.items()}
        choices["the best there was, as all other runs have it"] = int(np.argmax(believed))
        for name, choice in choices.items():
            gains[name].append(float(gained[choice]))
            leads[name].append(float(believed[choice]))
    dice = np.random.default_rng(0)
    for name, values in gains.items():
        found = np.array(values)
        resampled = found[dice.integers(0, len(found), (RESAMPLES, len(found)))].mean(axis=1)
        low, high = np.quantile(resampled, [0.025, 0.975])
        worse = f"{np.mean(np.array(leads[name]) < -1e-9):.0%}"
        print(
            f"| {world.name} | {size} | {name} | {found.mean():+.4f} ({low:+.4f} to {high:+.4f}) "
            f"| {worse} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
