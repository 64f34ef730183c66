"""``make bench-seconds``: what an epoch of a recorded table takes, measured on ten of its configs, one after the other.

Nothing else may run meanwhile. What is measured is kept beside the table, and `search_bench/seconds.py` fits it; printed is
how far the fit is off. ``MARS_NPZ`` must name the file of the Mars frames.
"""

import argparse
import statistics
from pathlib import Path

import numpy as np
import torch
from search_bench.parts import GROUND
from search_bench.plans import ALL, CONTROL, Table, plan_of
from search_bench.runs import runs_of
from search_bench.seconds import Epoch, Measured, Seconds

from objectives.config import Config
from objectives.data.dataset import Dataset, open_dataset, rare_frames
from objectives.training.order import EpochOrder
from search.doctor.speed import measure
from spaces import FromParams

CONFIGS = 10
TURNS = 3  # of each, of which the median counts


def main() -> None:
    """Measure, keep, and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--table", choices=ALL, required=True)
    parser.add_argument("--home", type=Path, default=Path(".bench-seconds"))
    asked = parser.parse_args()
    torch.set_num_threads(1)
    table = ALL[asked.table]
    data = open_dataset(table.source, table.options(), asked.home)
    seconds = of_data(data)
    params = {each.config: each.params for each in plan_of(table)}
    measured = []
    for name in spread(table):
        config = GROUND.space.draw(FromParams(params[name]))
        epoch = seconds.epoch(params[name])
        assert epoch.steps == len(EpochOrder(config, data, 0)), f"{name} has other steps"
        taken_s = epoch_s(config, data)
        measured.append(Measured(name, epoch.steps, epoch.multiply_adds, taken_s))
        print(f"{name}: {taken_s:.2f} s an epoch", flush=True)
    kept = of_data(data, tuple(measured))
    kept.write(table.name)
    report(kept)


def of_data(data: Dataset, measured: tuple[Measured, ...] = ()) -> Seconds:
    """Return seconds on such frames."""
    return Seconds(
        data.spec,
        len(data.parts["train"]),
        len(rare_frames(data)),
        len(data.parts["validation"]),
        measured,
    )


def spread(table: Table) -> list[str]:
    """Return the control and recorded configs at even ranks of their multiply-adds."""
    counted = {run.config: run.multiply_adds for run in runs_of(table.name).values()}
    counted.pop(CONTROL)
    ordered = sorted(counted, key=lambda config: (counted[config], config))
    ranks = np.linspace(0, len(ordered) - 1, CONFIGS - 1).round().astype(int)
    return [CONTROL, *(ordered[rank] for rank in ranks)]


def epoch_s(config: Config, data: Dataset) -> float:
    """Return the seconds of an epoch, trained and scored."""
    device = torch.device("cpu")
    turns = [measure(config, data, device) for _ in range(TURNS)]
    return statistics.median(each.seconds / each.epochs for each in turns)


def report(seconds: Seconds) -> None:
    """Print what was measured beside the fit."""
    step, multiply_add = seconds.weights
    print(f"{1000 * step:.1f} ms a step, {1e12 * multiply_add:.1f} s for 10^12 multiply-adds")
    print("| config | seconds an epoch | by the fit |\n|---|--:|--:|")
    for each in seconds.measured:
        fitted = seconds.fitted(Epoch(each.steps, each.multiply_adds))
        print(f"| {each.config} | {each.seconds:.2f} | {fitted:.2f} |")


if __name__ == "__main__":
    main()
