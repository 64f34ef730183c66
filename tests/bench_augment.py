"""``make bench-augment``: augmentation on the device against albumentations on the host.

How fast each makes batches, as a ratio in one run; and, with ``--seeds 12``, whether networks that are trained
on them score alike: pairs of trainings of one recipe on generated terrain, with the same seed. The 90 %
interval of the mean difference must lie within 0.005, or the device's way is not the default. Trainings
are kept in a CSV as they end, and are not repeated.
"""

import argparse
import csv
import hashlib
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from bench import alternate
from rich.console import Console
from rich.table import Table
from scipy.stats import t as student

from objectives.config import AdamW, Augment, Config, Loss, Train, UNet
from objectives.data.dataset import DataOptions, Dataset, open_dataset
from objectives.training.augment_on import AugmentOn
from objectives.training.batches import TrainingBatches
from objectives.training.fit import fit, prepare
from objectives.training.on_device import BANK_EPOCHS
from search.machine.hosts import cores

BATCH = 32
TURNS = 2 * BANK_EPOCHS  # so that a bank is made as often as in a training
LEVEL, WITHIN = 0.9, 0.005
WAYS: tuple[AugmentOn, AugmentOn] = ("host", "device")
MIXES = {
    "intensity 0.5": Augment(intensity=0.5),
    "and elastic, copy-paste 0.5": Augment(intensity=0.5, elastic=True, copy_paste=0.5),
}
# a tiny network at a high rate, so that its score moves little at the end, and twelve pairs take minutes
RECIPE = Config(
    model=UNet(depth=3, base_filters=8),
    augment=Augment(intensity=0.5),
    loss=Loss(cross_entropy=0.5, dice=0.5),
    optimiser=AdamW(learning_rate=8e-3),
    train=Train(batch_size=8, scale=0.25, epochs=18, ema=0.99),
)
FRAMES = 300
COLUMNS = ("recipe", "device", "seed", "way", "best", "last", "seconds")
SCORES = ("best", "last")


def main() -> None:
    """Measure what is asked for, and print a table each."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--prefetchers", type=int, help="of the host's way; on a CPU none")
    parser.add_argument(
        "--seeds", type=int, default=0, help="pairs of trainings, two or more (%(default)s)"
    )
    parser.add_argument("--threads", type=int, default=max(1, int(cores())))
    parser.add_argument("--csv", type=Path, default=Path(".bench-augment.csv"))
    asked = parser.parse_args()
    if asked.seeds == 1:
        parser.error("--seeds must be at least 2: one pair has no interval")
    torch.set_num_threads(asked.threads)
    device = torch.device(asked.device)
    console = Console(width=110)
    with tempfile.TemporaryDirectory(prefix="search-bench-") as folder:
        data = open_dataset(f"synthetic:{FRAMES}", DataOptions(), Path(folder) / "cache")
        if asked.seeds:
            scores = trained(data, asked.seeds, asked.csv, device)
            console.print(pairs_table(scores))
        else:
            prefetchers = asked.prefetchers
            if prefetchers is None:
                prefetchers = max(1, int(cores()) - 1) if device.type == "cuda" else 0
            console.print(speed_table(data, device, prefetchers))


def speed_table(data: Dataset, device: torch.device, prefetchers: int) -> Table:
    """Images a second of both ways, in turn."""
    table = Table(
        title=f"batches of {BATCH} on {device}, {prefetchers} prefetcher(s) of the host's"
    )
    for name in ("frames", "augmented by", "host, img/s", "device, img/s", "ratio"):
        table.add_column(name, justify="right")
    for frames in (data, large(data)):
        for words, augment in MIXES.items():
            batches = min(8, len(frames.parts["train"]) // BATCH) if frames is data else 1
            config = Config(augment=augment, train=Train(batch_size=BATCH, steps_per_epoch=batches))
            turns = [epochs(config, frames, way, device, prefetchers) for way in WAYS]
            host, other = alternate(*turns, rounds=TURNS)
            rates = [BATCH * batches * TURNS / sum(each) for each in (host, other)]
            table.add_row(
                f"{frames.spec.height}x{frames.spec.width}x{frames.spec.channels}",
                words,
                *(f"{rate:.0f}" for rate in rates),
                f"{rates[1] / rates[0]:.2f}",
            )
    return table


def epochs(
    config: Config, data: Dataset, way: AugmentOn, device: torch.device, prefetchers: int
) -> Callable[[], object]:
    """One epoch of batches after the other, nothing done with them."""
    batches = TrainingBatches(
        config, data, 0, device=device, prefetchers=prefetchers, augment_on=way
    )
    number = 0

    def turn() -> None:
        nonlocal number
        for _ in batches.epoch(number):
            pass
        number += 1
        if device.type == "cuda":
            torch.cuda.synchronize()

    return turn


def large(data: Dataset) -> Dataset:
    """A few frames of the data, three channels of 512x512 of them."""
    few = data.parts["train"][: 2 * BATCH]
    images, masks = (
        np.stack(list(each[few])).repeat(8, axis=1).repeat(4, axis=2)
        for each in (data.images, data.masks)
    )
    spec = data.spec.model_copy(
        update={
            "height": 512,
            "width": 512,
            "channels": 3,
            "mean": data.spec.mean * 3,
            "std": data.spec.std * 3,
            "ranges": data.spec.ranges * 3,
        }
    )
    return replace(
        data,
        spec=spec,
        images=np.repeat(images, 3, axis=3),
        masks=masks,
        parts={**data.parts, "train": np.arange(len(few))},
        class_pixels=np.stack(
            [np.bincount(mask.ravel(), minlength=spec.num_classes) for mask in masks]
        ),
    )


def trained(
    data: Dataset, seeds: int, file: Path, device: torch.device
) -> dict[str, dict[str, list[float]]]:
    """Scores of each way, seed by seed; what the file has is not trained again."""
    same = {"recipe": recipe_key(), "device": device.type}
    known = {(row["seed"], row["way"]): row for row in rows_of(file) if same.items() <= row.items()}
    for seed in range(seeds):
        for way in WAYS:
            if (str(seed), way) not in known:
                row = same | one_training(data, seed, way, device)
                known[str(seed), way] = added(file, row)
    return {
        way: {
            name: [float(known[str(seed), way][name]) for seed in range(seeds)] for name in SCORES
        }
        for way in WAYS
    }


def rows_of(file: Path) -> list[dict[str, str]]:
    """Trainings of before."""
    if not file.exists():
        return []
    with file.open(newline="") as opened:
        return list(csv.DictReader(opened))


def added(file: Path, row: dict[str, str]) -> dict[str, str]:
    """The row, which is in the file then."""
    first = not file.exists()
    with file.open("a", newline="") as opened:
        writer = csv.DictWriter(opened, COLUMNS)
        if first:
            writer.writeheader()
        writer.writerow(row)
    print(row, flush=True)
    return row


def one_training(data: Dataset, seed: int, way: AugmentOn, device: torch.device) -> dict[str, str]:
    """What a trial of the recipe gives: its best epoch's score, and the mean of its last quarter."""
    start = time.monotonic()
    training = prepare(RECIPE, data, seed=seed, device=device, augment_on=way)
    scores = [result.score for result in fit(training)]
    last = statistics.mean(scores[-len(scores) // 4 :])
    values = (seed, way, f"{max(scores):.6f}", f"{last:.6f}", f"{time.monotonic() - start:.1f}")
    return dict(zip(COLUMNS[2:], map(str, values), strict=True))


def recipe_key() -> str:
    """What is trained on how many frames, as eight digits: other trainings are not taken for it."""
    return hashlib.sha256(f"{RECIPE.model_dump_json()} {FRAMES}".encode()).hexdigest()[:8]


def pairs_table(scores: dict[str, dict[str, list[float]]]) -> Table:
    """The difference, device minus host, with its interval."""
    table = Table(title=f"{RECIPE.train.epochs} epochs of a U-Net 8-64, {FRAMES} generated frames")
    for name in ("", "host", "device", "difference", f"{LEVEL:.0%} interval", f"within {WITHIN}"):
        table.add_column(name, justify="right")
    for name, words in (("best", "best epoch"), ("last", "last quarter")):
        host, other = (np.array(scores[way][name]) for way in WAYS)
        low, high = interval(other - host)
        table.add_row(
            words,
            f"{host.mean():.4f}",
            f"{other.mean():.4f}",
            f"{(other - host).mean():+.4f}",
            f"{low:+.4f} to {high:+.4f}",
            "yes" if low > -WITHIN and high < WITHIN else "no",
        )
    return table


def interval(differences: np.ndarray) -> tuple[float, float]:
    """Of the mean of normally distributed differences (Student's t)."""
    count = len(differences)
    reach = student.ppf((1 + LEVEL) / 2, count - 1) * differences.std(ddof=1) / np.sqrt(count)
    return float(differences.mean() - reach), float(differences.mean() + reach)


if __name__ == "__main__":
    main()
