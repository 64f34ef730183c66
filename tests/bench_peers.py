"""What searches choose, in virtual time: the real code of each, on worlds made of the recorded tables.

Each line of a table's file is a study: which of its trials it would hand out after each budget, chosen by the
highest score and by the posterior of its runs, and the parameters of those. What stands in the file is skipped:
it may be stopped at any time. ``make bench-search`` judges it.
"""

import argparse
import time
import warnings
from collections.abc import Sequence

import numpy as np
import optuna
from search_bench.choices import BUDGETS, Params, Study, append, studies_of
from search_bench.parts import GROUND, best_of
from search_bench.plans import ALL
from search_bench.virtual import Method, Trained, ours, peers, play
from search_bench.worlds import KINDS, worlds_of

from search.posterior.belief import Believer, Run
from spaces.pruning import Halving, NoPruning
from spaces.sampler import Sampler


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
    parser.add_argument("--world", choices=KINDS, default=KINDS[0])
    parser.add_argument("--told", type=int, default=0, help="recorded runs of its world; 0: all")
    parser.add_argument("--minutes", type=float, default=1e6)
    asked = parser.parse_args()
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    until = time.monotonic() + 60 * asked.minutes
    worlds = worlds_of(asked.table, asked.world, asked.repetitions, asked.told)
    there = {
        (each.method, each.workers, each.repetition)
        for each in studies_of(worlds[0].name)
        if each.runs == worlds[0].told
    }
    for repetition, world in enumerate(worlds):
        for name in asked.method or known:
            if (name, asked.workers, repetition) in there:
                continue
            if time.monotonic() > until:
                return
            trained = play(
                known[name], world, workers=asked.workers, budget=BUDGETS[-1], seed=repetition
            )
            append(
                world.name,
                Study(
                    world.told, name, asked.workers, repetition, *chosen_in(trained, world.epochs)
                ),
            )


def chosen_in(
    trained: Sequence[Trained], epochs: int
) -> tuple[list[int], list[int], list[int], list[int], dict[int, Params]]:
    """Return of each budget how many trials had begun and were complete, the numbers of what the highest
    score and the posterior choose (the control where no trial is complete), and the parameters of these.
    """
    begun, complete, highest, posterior = [], [], [], []
    for budget in BUDGETS:
        known = [(number, *trial.by(budget, epochs)) for number, trial in enumerate(trained)]
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
        believed = Believer(GROUND.coordinates, runs, epochs).of([run.values for run in runs])
        chosen = best_of(believed, whole)
        highest.append(scored[whole[int(np.argmax(heights))]][0])
        posterior.append(scored[chosen][0])
    params = {number: trained[number].params for number in sorted({*highest, *posterior})}
    return begun, complete, highest, posterior, params


if __name__ == "__main__":
    main()
