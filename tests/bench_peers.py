"""What searches choose, in virtual time: the real code of each, on worlds made of the recorded tables.

Each line of a table's file is a study: which of its trials it would hand out after each budget, chosen by the
highest score and by the posterior of its runs, and the parameters of those. What stands in the file is skipped:
it may be stopped at any time. ``make bench-search`` judges it. Peers outside Optuna have environments of their
own, which are built where one is asked for; what cannot be installed or driven is named with the reason.
"""

import argparse
import time
import warnings
from collections.abc import Sequence
from functools import cache, partial

import numpy as np
import optuna
from search_bench.choices import EVERY, Params, Study, append, budgets_to, rounded, studies_of
from search_bench.lessons import lessons_of
from search_bench.one_epoch import OneEpoch
from search_bench.parts import GROUND, best_of
from search_bench.piped import PeerError, piped
from search_bench.plans import ALL
from search_bench.portfolio import StepsFrom
from search_bench.runs import runs_of
from search_bench.surrogate import Priced, Surrogate
from search_bench.tabular import NoneLeftError, Tabular
from search_bench.virtual import Method, Trained, ours, peers, play

from search.posterior.belief import Believer, Learned, Run
from spaces.pruning import Halving, ModelStopping, NoPruning
from spaces.sampler import Sampler

WORLDS = {"surrogate": Surrogate, "priced": Priced, "table": Tabular}
STEPS = StepsFrom(GROUND.control)


def methods(budget: int, table: str = "") -> list[Method]:
    """Return what is compared, each to spend so many trainings: the service's ways and the peers'. Its space has no
    steps, or those that the tables other than this one commend.
    """
    others = [ALL[name] for name in ALL if name != table and runs_of(name)] if table else []
    steps = STEPS.commended(others) if others else []
    return [
        ours("model", Sampler.MODEL, NoPruning(), budget),
        ours("model + steps", Sampler.MODEL, NoPruning(), budget, steps),
        *(
            ours(
                f"model + learned from {other}",
                Sampler.MODEL,
                NoPruning(),
                budget,
                lessons=cache(partial(lessons_of, other)),
            )
            for other in ALL
            if other != table and runs_of(other)
        ),
        ours("model + stopping", Sampler.MODEL, ModelStopping(), 3 * budget),
        ours("model + stopping 0.35", Sampler.MODEL, ModelStopping(below=0.35), 3 * budget),
        ours("model + halving", Sampler.MODEL, Halving(), 3 * budget),
        ours("tpe + halving", Sampler.TPE, Halving(), 3 * budget),
        *peers(steps),
        OneEpoch(),
        *piped(),
    ]


def main() -> None:
    """Play what the file lacks."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--table", choices=ALL, required=True)
    names = [method.name for method in methods(EVERY)]  # of any table
    parser.add_argument("--method", choices=names, action="append")
    parser.add_argument("--repetitions", type=int, default=40)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--budget", type=int, default=40, help=f"trainings, a multiple of {EVERY}")
    parser.add_argument("--told", type=int, default=0, help="recorded runs of its world; 0: all")
    parser.add_argument("--world", choices=WORLDS, default="surrogate", help="(%(default)s)")
    parser.add_argument("--minutes", type=float, default=1e6)
    asked = parser.parse_args()
    if asked.budget < EVERY or asked.budget % EVERY:
        parser.error(f"--budget must be a multiple of {EVERY}, got {asked.budget}")
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    until = time.monotonic() + 60 * asked.minutes
    world = WORLDS[asked.world](asked.table, told=asked.told)
    there = {
        (each.method, each.workers, each.repetition)
        for each in studies_of(asked.table, world.kept_as)
        if (each.runs, each.budget) == (world.told, asked.budget)
    }
    missing: set[str] = set()  # what cannot be played here
    played = methods(asked.budget, asked.table)
    for repetition in range(asked.repetitions):
        for method in played:
            name = method.name
            if name not in (asked.method or names) or name in missing:
                continue
            if (name, asked.workers, repetition) in there:
                continue
            if time.monotonic() > until:
                return
            try:
                trained = play(
                    method, world, workers=asked.workers, budget=asked.budget, seed=repetition
                )
            except (PeerError, NoneLeftError) as error:
                missing.add(name)
                print(f"| {name} | not played: {error} |", flush=True)
                continue
            learned = method.learned(repetition)
            chosen = chosen_in(trained, world.epochs, asked.budget, learned)
            study = Study(world.told, name, asked.workers, repetition, *chosen)
            append(asked.table, study, world.kept_as)


def chosen_in(
    trained: Sequence[Trained], epochs: int, budget: int, learned: Sequence[Learned] = ()
) -> tuple[list[int], list[int], list[int], list[int], dict[int, Params]]:
    """Return of each budget up to this one how many trials had begun and were complete, the numbers of what the highest
    score and the posterior choose (the control where no trial is complete), and the parameters of these.
    """
    begun, complete, highest, posterior = [], [], [], []
    for spent in budgets_to(budget):
        known = [(number, *trial.by(spent, epochs)) for number, trial in enumerate(trained)]
        scored = [(number, scores_E, whole) for number, scores_E, whole in known if scores_E.size]
        whole = [place for place, (*_, is_whole) in enumerate(scored) if is_whole]
        begun.append(len(scored))
        complete.append(len(whole))
        if not whole:
            highest.append(0)
            posterior.append(0)
            continue
        heights = [scored[place][1].max() for place in whole]
        runs = [Run(trained[number].values, *seen) for number, *seen in scored]
        believer = Believer(GROUND.coordinates, runs, epochs, learned)
        believed = believer.of([run.values for run in runs])
        chosen = best_of(believed, whole)
        highest.append(scored[whole[int(np.argmax(heights))]][0])
        posterior.append(scored[chosen][0])
    params = {number: rounded(trained[number].params) for number in sorted({*highest, *posterior})}
    return begun, complete, highest, posterior, params


if __name__ == "__main__":
    main()
