"""``make bench``: what the training loop costs beside the network, and what a trial costs beside its training.

Both are measured against something else in the same run, since times alone say nothing on a shared machine.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import optim
from torch.nn import functional

from objectives.config import Augment, Config, Train, UNet
from objectives.data.dataset import DataOptions, Dataset, open_dataset
from objectives.evaluate import pixels_BCHW
from objectives.fit import prepare, train_epoch
from objectives.networks import build_network
from search.commands.options import Place
from search.embedded import embedded_postgres
from search.hosts import cores
from search.setup import Request, set_up
from search.study import open_study

BATCH, STEPS, ROUNDS = 32, 4, 6  # frames a step, steps a turn, turns of each side
MINUTE_S, MOST = 60.0, 0.03  # of a one-minute trial, so much may be spent beside its training
TRIALS, FRAMES = 3, 200


def main() -> None:
    """Measure both, print two tables, and the ratio as the last line."""
    torch.set_num_threads(max(1, int(cores())))
    console = Console(width=100)
    with tempfile.TemporaryDirectory(prefix="search-bench-") as folder:
        console.print(trial_table(measure_trials(Path(folder))))
        data = open_dataset(f"synthetic:{FRAMES}", DataOptions(), Path(folder) / "cache")
        loop, bare = alternate(real_loop(data), bare_loop(data))
    ratio = sum(bare) / sum(loop)
    console.print(loop_table(loop, bare))
    console.print(f"ratio {ratio:.2f}")


def real_loop(data: Dataset) -> Callable[[], object]:
    """One turn of the training loop as trials run it: frames read and augmented, loss, optimiser, schedule, average."""
    config = Config(
        model=UNet(depth=3, base_filters=16),
        augment=Augment(intensity=0.5),
        train=Train(batch_size=BATCH, steps_per_epoch=STEPS, epochs=ROUNDS),
    )
    training = prepare(config, data, seed=0, device=torch.device("cpu"))
    assert len(training.batches) == STEPS, "too few frames"
    return lambda: train_epoch(training)


def bare_loop(data: Dataset) -> Callable[[], object]:
    """One turn of forward, backward and optimiser over the same network, with its batches ready in memory."""
    spec = data.spec
    network = build_network(UNet(depth=3, base_filters=16), in_channels=spec.channels, num_classes=spec.num_classes)
    network = network.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimiser = optim.AdamW(network.parameters(), lr=2e-3, weight_decay=1e-2)
    frames = data.parts["train"][: BATCH * STEPS].reshape(STEPS, BATCH)
    images = [(pixels_BCHW(data.images[batch]) / 255).contiguous(memory_format=torch.channels_last) for batch in frames]
    masks = [torch.from_numpy(data.masks[batch].astype(np.int64)) for batch in frames]

    def turn() -> None:
        for images_BCHW, masks_BHW in zip(images, masks, strict=True):
            optimiser.zero_grad(set_to_none=True)
            functional.cross_entropy(network(images_BCHW), masks_BHW, ignore_index=0).backward()
            optimiser.step()

    return turn


def alternate(first: Callable[[], object], second: Callable[[], object]) -> tuple[list[float], list[float]]:
    """Seconds of every turn of two loops, one after the other; a first turn of each warms up and is not counted."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for turn in range(ROUNDS + 1):
        for loop, kept in zip((first, second), seconds, strict=True):
            start = time.perf_counter()
            loop()
            if turn:
                kept.append(time.perf_counter() - start)
    return seconds


def loop_table(loop: list[float], bare: list[float]) -> Table:
    """Images a second of both loops, turn by turn."""
    table = Table(title=f"training alone (no validation): U-Net 16-32-64-128, batch {BATCH}, 64x128, intensity 0.5")
    for name in ("turn", "the loop, img/s", "bare, img/s", "ratio"):
        table.add_column(name, justify="right")
    rows = [*zip(map(str, range(1, ROUNDS + 1)), loop, bare, strict=True), ("all", sum(loop) / ROUNDS, sum(bare) / ROUNDS)]
    for name, ours, theirs in rows:
        table.add_row(name, f"{BATCH * STEPS / ours:.1f}", f"{BATCH * STEPS / theirs:.1f}", f"{theirs / ours:.3f}")
    return table


@dataclass(frozen=True)
class Cost:
    """Seconds of one trial: from the end of the one before to its start, from its start to its end, and in its epochs."""

    number: int
    epochs: int
    claim_s: float
    run_s: float
    training_s: float

    @property
    def beside_s(self) -> float:
        """What is no training."""
        return self.claim_s + self.run_s - self.training_s


def measure_trials(folder: Path) -> list[Cost]:
    """Run a worker on a small study in an embedded Postgres, and read from the database where its time went."""
    with embedded_postgres(folder) as url:
        place = Place(url, str(folder / "artifacts"), folder / "cache")
        list(set_up(Request(name="bench", source=f"synthetic:{FRAMES}", space="small", trials=TRIALS), place))
        command = [sys.executable, "-m", "search", "worker", "--study", "bench", "--storage", url, "--device", "cpu"]
        command += ["--artifacts", place.artifacts, "--cache", str(place.cache)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=os.environ)
        study = open_study(url, "bench")
        trials = study.optuna.get_trials()
        study.close()
    costs = []
    for before, trial in zip([None, *trials], trials, strict=False):
        assert trial.datetime_start is not None
        assert trial.datetime_complete is not None
        waited = (trial.datetime_start - before.datetime_complete).total_seconds() if before else 0.0  # else: start-up
        run = (trial.datetime_complete - trial.datetime_start).total_seconds()
        attributes = trial.user_attrs
        costs.append(Cost(trial.number, attributes["epochs"], waited, run, attributes["train_seconds"]))
    return costs


def trial_table(costs: list[Cost]) -> Table:
    """The trials, and the dearest one's share of a minute."""
    worst = max(cost.beside_s for cost in costs)
    verdict = f"{worst:.2f} s beside the training are {worst / MINUTE_S:.1%} of a one-minute trial (at most {MOST:.0%})"
    table = Table(title="trials of the preset small, by one worker on embedded Postgres", caption=verdict)
    for name in ("trial", "epochs", "claim, s", "run, s", "training, s", "beside it, s"):
        table.add_column(name, justify="right")
    for cost in costs:
        seconds = (cost.claim_s, cost.run_s, cost.training_s, cost.beside_s)
        table.add_row(str(cost.number), str(cost.epochs), *(f"{value:.2f}" for value in seconds))
    return table


if __name__ == "__main__":
    main()
