"""``make bench-steps``: what the first steps of a space gain by real trainings of full length, on places that no table has.

The control and each step are trained with several seeds on part b of the places of the Mars file; printed are the mean of
the last epochs on validation and the score of the best epoch's network on a sealed part that nothing was chosen by. A line
is printed as each training ends. ``MARS_NPZ`` must name the file.
"""

import argparse
import time
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from bench_live import sealed_score, trained
from search_bench.plans import ALL

from objectives.data.dataset import open_dataset
from search.posterior.carried import final_score
from spaces import FromParams, load_space

SHARES = (0.6, 0.2, 0.2)


def main() -> None:
    """Train, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--space", default="small")
    parser.add_argument("--table", default="mars-b", choices=ALL)
    parser.add_argument("--steps", type=int, default=3, help="the first so many (%(default)s)")
    parser.add_argument("--seeds", type=int, default=2, help="of each (%(default)s)")
    parser.add_argument("--first-seed", type=int, default=0, help="(%(default)s)")
    parser.add_argument("--home", type=Path, default=Path(".bench-steps"))
    asked = parser.parse_args()
    configs = ["control", *map(str, range(1, asked.steps + 1))]
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as processes:
        runs = {
            processes.submit(run, asked.space, asked.table, asked.home, config, seed): config
            for seed in range(asked.first_seed, asked.first_seed + asked.seeds)
            for config in configs
        }
        for each in as_completed(runs):
            last, sealed, seconds = each.result()
            found[runs[each]].append((last, sealed))
            print(
                f"{runs[each]}: {last:.4f} on validation, {sealed:.4f} sealed, {seconds:.0f} s",
                flush=True,
            )
    print("| step | last epochs on validation | sealed, best epoch |\n|---|--:|--:|")
    for config in configs:
        last, sealed = np.array(found[config]).T
        each = ", ".join(f"{score:.4f}" for score in sealed)
        print(f"| {config} | {last.mean():.4f} | {each}; mean {sealed.mean():.4f} |")


def run(name: str, table: str, home: Path, config: str, seed: int) -> tuple[float, float, float]:
    """Return of one training the mean score of its last epochs, that of its best epoch on the sealed part, and seconds."""
    torch.set_num_threads(1)
    place = ALL[table]
    data = open_dataset(place.source, replace(place.options(), shares=SHARES), home)
    space = load_space(name)
    chosen = space.default()
    if config != "control":
        chosen = space.draw(FromParams(space.steps[int(config) - 1]))
    begun = time.monotonic()
    state = trained(chosen, data, 1000 + seed)
    scores = np.array([each.score for each in state.history])
    return final_score(scores), sealed_score(state, data), time.monotonic() - begun


if __name__ == "__main__":
    main()
