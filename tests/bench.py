"""``make bench``: what the training loop costs beside the network, and what a trial costs beside
its training, on the GPU that is there, else on the CPU.

Both are measured against something else in the same run, since times alone say nothing on a shared
machine. ``make gpu-lab`` compares with more: with Lightning, with a CUDA graph, with more workers.
"""

import itertools
import math
import multiprocessing
import os
import statistics
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
from objectives.device.precision import autocast, computes_bf16
from objectives.networks import build_network
from objectives.program.pixels import pixels_BCHW
from objectives.training.augment_on import AugmentOn
from objectives.training.batches import TrainingBatches
from objectives.training.fit import begin, train_epoch
from search.machine.hosts import cores

CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CUDA else "cpu")
BATCH, STEPS = 32, 50 if CUDA else 2  # frames a step, steps a turn
ROUNDS, TURNS = 12, 30  # turns of each side: usually, and where a bound of their ratio is asked for
MINUTE_S, MOST = 60.0, 0.02  # of a one-minute trial, so much may be spent beside its training
TRIALS, FRAMES, EPOCHS = (
    2,
    2500 if CUDA else 160,
    40,
)  # about a minute for a trial that is not pruned


def main() -> None:
    """Measure both, print two tables, and the ratio as the last line."""
    torch.set_num_threads(max(1, int(cores())))
    console = Console(width=100)
    with tempfile.TemporaryDirectory(prefix="search-bench-") as folder:
        console.print(trial_table(measure_trials(Path(folder))))
        data = open_dataset(f"synthetic:{FRAMES}", DataOptions(), Path(folder) / "cache")
        ways: tuple[AugmentOn, ...] = ("host", "device") if CUDA else ("host",)
        # all first, as they may fork, and what is forked must know no CUDA
        for way, batches in [(way, batches_of(data, way)) for way in ways]:
            loop, bare = alternate(real_loop(batches), bare_loop(data), TURNS)
            console.print(loop_table(loop, bare, way))
            low = lower_bound(ratios_of(loop, bare))
            print(f"ratio {ratio_of(loop, bare):.3f}, at least {low:.3f} with 95 %")


def batches_of(data: Dataset, way: AugmentOn) -> TrainingBatches:
    """Return what the real loop trains on: frames that are read and augmented."""
    config = Config(
        model=UNet(depth=3, base_filters=16),
        augment=Augment(intensity=0.5),
        train=Train(batch_size=BATCH, steps_per_epoch=STEPS, epochs=TURNS),
    )
    prefetchers = max(1, int(cores()) - 1) if CUDA else 0
    batches = TrainingBatches(
        config, data, 0, device=DEVICE, prefetchers=prefetchers, augment_on=way
    )
    assert len(batches) == STEPS, "too few frames"
    return batches


def real_loop(batches: TrainingBatches) -> Callable[[], object]:
    """One turn of the training loop as trials run it: batches, loss, optimiser, schedule, average."""
    training = begin(batches)
    return lambda: train_epoch(training)


def bare_loop(data: Dataset) -> Callable[[], object]:
    """One turn of forward, backward and optimiser over the same network, with its batches ready in
    memory.
    """
    spec = data.spec
    network = build_network(
        UNet(depth=3, base_filters=16), in_channels=spec.channels, num_classes=spec.num_classes
    )
    network = network.to(DEVICE, memory_format=torch.channels_last).train()
    optimiser = optim.AdamW(network.parameters(), lr=2e-3, weight_decay=1e-2, fused=True)
    frames = data.parts["train"][: BATCH * STEPS].reshape(STEPS, BATCH)
    images = [
        (pixels_BCHW(np.stack(list(data.images[batch]))) / 255)
        .contiguous(memory_format=torch.channels_last)
        .to(DEVICE)
        for batch in frames
    ]
    masks = [
        torch.from_numpy(np.asarray(data.masks[batch], np.int64)).to(DEVICE) for batch in frames
    ]

    def turn() -> None:
        for images_BCHW, masks_BHW in zip(images, masks, strict=True):
            optimiser.zero_grad(set_to_none=True)
            with autocast(
                images_BCHW.device, bf16=computes_bf16(images_BCHW.device)
            ):  # as the real loop, or the comparison would flatter it
                logits_BKHW = network(images_BCHW)
            functional.cross_entropy(logits_BKHW.float(), masks_BHW, ignore_index=0).backward()  # type: ignore[no-untyped-call]
            optimiser.step()

    return turn


def alternate(
    first: Callable[[], object], second: Callable[[], object], rounds: int = ROUNDS
) -> tuple[list[float], list[float]]:
    """Seconds of every turn of two loops, one after the other; a first turn of each warms up and is
    not counted.
    """
    seconds: tuple[list[float], list[float]] = ([], [])
    for turn in range(rounds + 1):
        for loop, kept in zip((first, second), seconds, strict=True):
            start = time.perf_counter()
            loop()
            if CUDA:
                torch.cuda.synchronize()
            if turn:
                kept.append(time.perf_counter() - start)
    return seconds


def ratio_of(loop: list[float], bare: list[float]) -> float:
    """Speed of the loop as a share of the bare one's: the median over turns, which a neighbour's
    burst does not move.
    """
    return statistics.median(ratios_of(loop, bare))


def ratios_of(loop: list[float], bare: list[float]) -> list[float]:
    """Return the same of every turn."""
    return [theirs / ours for ours, theirs in zip(loop, bare, strict=True)]


def lower_bound(ratios: list[float], doubt: float = 0.05) -> float:
    """Return what the median of such ratios is above, but for so much doubt: the k-th smallest, with
    the largest k for which fewer than k of N lie below the median with at most that probability.

    Source: Conover 1999 (Practical Nonparametric Statistics, 3.2), the confidence interval of a quantile.
    """
    chances = [math.comb(len(ratios), below) / 2 ** len(ratios) for below in range(len(ratios))]
    below = sum(total <= doubt for total in itertools.accumulate(chances))
    return float(sorted(ratios)[max(0, below - 1)])


def loop_table(loop: list[float], bare: list[float], way: AugmentOn) -> Table:
    """Images a second of both loops, turn by turn."""
    table = Table(
        title=f"training alone (no validation) on {DEVICE}: U-Net 16-32-64-128, batch {BATCH}, "
        f"64x128, intensity 0.5, augmented on the {way}"
    )
    for name in ("turn", "the loop, img/s", "bare, img/s", "ratio"):
        table.add_column(name, justify="right")
    for turn, (ours, theirs) in enumerate(zip(loop, bare, strict=True), start=1):
        table.add_row(
            str(turn),
            f"{BATCH * STEPS / ours:.1f}",
            f"{BATCH * STEPS / theirs:.1f}",
            f"{theirs / ours:.3f}",
        )
    return table


@dataclass(frozen=True)
class Cost:
    """Seconds of one trial: from the end of the one before to its start, from its start to its end,
    and in its epochs.
    """

    number: int
    epochs: int
    claim_s: float  # 0 for the first: the worker's own start comes before it
    run_s: float
    training_s: float


def measure_trials(folder: Path) -> list[Cost]:
    """Run a worker on a small study in an embedded Postgres, and see where the time of its trials
    goes.
    """
    # imported here, or every trial's process, which imports this script, would pay for what a real
    # worker's does not
    from search.database.embedded import embedded_postgres
    from search.place import Place
    from search.process.parent import preload
    from search.study.setup import Request, set_up
    from search.study.stored import open_study
    from search.worker.context import Orders, WorkerSettings
    from search.worker.loop import run_worker

    said: list[float] = []  # when each trial started, and ended
    preload()
    # what the worker's start costs is not asked
    warm = multiprocessing.get_context("forkserver").Process(target=os.getpid)
    warm.start()
    warm.join()
    with embedded_postgres(folder) as url:
        place = Place(url, str(folder / "artifacts"), folder / "cache")
        asked = Request(
            name="bench",
            source=f"synthetic:{FRAMES}",
            space="small",
            trials=TRIALS,
            sets=(f"train.epochs={EPOCHS}",),
        )
        list(set_up(asked, place))
        study = open_study(url, "bench")
        settings = WorkerSettings(artifacts=place.artifacts, cache=place.cache, device="auto")
        run_worker(study, settings, Orders(), lambda line: said.append(time.perf_counter()))
        attributes = [trial.user_attrs for trial in study.optuna.get_trials()]
        study.close()
    starts, ends = said[::2], said[1::2]
    assert len(starts) == len(ends) == len(attributes), "the worker says two lines a trial"
    rows = zip(attributes, starts, ends, [starts[0], *ends], strict=False)
    return [
        Cost(number, found["epochs"], start - before, end - start, found["train_seconds"])
        for number, (found, start, end, before) in enumerate(rows)
    ]


def trial_table(costs: list[Cost]) -> Table:
    """The trials, and what the dearest claim and the dearest run would be of one minute."""
    worst = max(cost.claim_s for cost in costs) + max(
        cost.run_s - cost.training_s for cost in costs
    )
    verdict = (
        f"{worst:.2f} s beside the training: {worst / MINUTE_S:.1%} of a one-minute trial "
        f"(at most {MOST:.0%})"
    )
    table = Table(
        title="trials of the preset small, one worker, embedded Postgres", caption=verdict
    )
    for name in ("trial", "epochs", "claim, draw, s", "run, s", "of it training, s", "rest, s"):
        table.add_column(name, justify="right")
    for cost in costs:
        seconds = (cost.claim_s, cost.run_s, cost.training_s, cost.run_s - cost.training_s)
        table.add_row(str(cost.number), str(cost.epochs), *(f"{value:.2f}" for value in seconds))
    return table


if __name__ == "__main__":
    main()
