"""``make bench-nuclei``: nuclei of several sizes, resized to one against crops and windows, with and without
weights that were trained before.

One recipe, five folds, and each image is judged once, at its own size, by the network that has not seen it.
What is recorded is skipped: it may be stopped at any time. ``NUCLEI`` names the folder of images and masks
(0/255, as ``classes.yaml`` beside them says).
"""

import argparse
import csv
import hashlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from objectives.config import Augment, Config, Smp, Start, Train, UNet
from objectives.data.dataset import DataOptions, Dataset, open_dataset
from objectives.networks.pretrained import encoder_normalisation
from objectives.predict.segmentation import Segmentation
from objectives.predict.torch_engine import TorchEngine
from objectives.program.settings import ProgramSettings
from objectives.scoring.metrics import confusion_KK
from objectives.training.fit import Training, fit, prepare
from search.machine.hosts import cores
from tests.support import pretrained

FOLDS = 5
SIDE = 256  # of a frame that is resized, of a window and of a crop
STEPS = 17  # an epoch: the resized frames of four folds, once
CPU = torch.device("cpu")
RECORDED = Path(__file__).parent / "nuclei.csv"
FIELDS = ("sizes", "network", "fold", "image", "true_0", "false_1", "false_0", "true_1")
DRAWS = 10_000  # of images, for intervals


@dataclass(frozen=True)
class Condition:
    """How frames are seen, and by which network."""

    sizes: str  # resized, or windows
    network: str  # unet, lite0, or lite0 with weights

    def options(self, fold: int) -> DataOptions:
        """Return how the frames are read; every frame is in one fold."""
        size = {"size": (SIDE, SIDE)} if self.sizes == "resized" else {"window": (SIDE, SIDE)}
        return DataOptions(
            **size,  # type: ignore[arg-type]
            channels="rgb",
            shares=(0.8, 0.2, 0.0),
            folds=FOLDS,
            fold=fold,
        )

    def config(self, epochs: int) -> Config:
        """Return the recipe; both ways of seeing frames train on as many pixels."""
        train = Train(epochs=epochs, batch_size=8, steps_per_epoch=STEPS)
        return Config(model=self._model(), augment=Augment(vertical_flip=True), train=train)

    def _model(self) -> UNet | Smp:
        if self.network == "unet":
            return UNet(depth=4, base_filters=16)
        smp = Smp(decoder="unet", encoder=pretrained.ENCODER)
        if self.network == "lite0":
            return smp
        mean, std = encoder_normalisation(pretrained.ENCODER)
        digest = hashlib.sha256(pretrained.lite0_file()).hexdigest()
        start = Start(sha256=digest, extent="encoder", mean=mean, std=std)
        return smp.model_copy(update={"weights": "lite0", "start": start})


CONDITIONS = [
    Condition(sizes, network)
    for network in ("unet", "lite0", "lite0 with weights")
    for sizes in ("resized", "windows")
]


def main() -> None:
    """Train what is not recorded until the time is over, and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=240.0)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument(
        "--folds",
        type=int,
        nargs="+",
        default=range(1, FOLDS + 1),
        help="several may run at once, each on folds of its own",
    )
    parser.add_argument("--cache", type=Path, default=Path(".bench-nuclei"))
    asked = parser.parse_args()
    torch.set_num_threads(max(1, int(cores())))
    until = time.monotonic() + 60 * asked.minutes
    done = {(row["sizes"], row["network"], row["fold"]) for row in recorded()}
    for fold in asked.folds:
        for condition in CONDITIONS:
            key = condition.sizes, condition.network, str(fold)
            if key not in done and time.monotonic() < until:
                append(judged(condition, fold, asked.epochs, asked.cache))
    Console(width=110).print(table())


def recorded() -> list[dict[str, str]]:
    """Return the rows that are there."""
    if not RECORDED.exists():
        return []
    with RECORDED.open(newline="") as opened:
        return list(csv.DictReader(opened))


def append(rows: list[dict[str, object]]) -> None:
    """Write the rows of one training, all at once."""
    new = not RECORDED.exists()
    with RECORDED.open("a", newline="") as opened:
        writer = csv.DictWriter(opened, FIELDS, lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerows(rows)


def judged(condition: Condition, fold: int, epochs: int, cache: Path) -> list[dict[str, object]]:
    """Train on all other folds; return the counts of each image of this one, at its own size."""
    source = os.environ["NUCLEI"]
    data = open_dataset(source, condition.options(fold), cache)
    # their own pixels, whatever is made of them for training
    apart = open_dataset(source, Condition("windows", "unet").options(fold), cache)
    assert data.names == apart.names
    config = condition.config(epochs)
    training = prepare(config, data, seed=fold, device=CPU, last_epoch=epochs)
    if "weights" in condition.network:
        training.state.start_from(pretrained.lite0_file())
    for result in fit(hardly_validated(training)):
        print(f"{condition} fold {fold} epoch {result.number}: {result.loss:.4f}", flush=True)
    settings = ProgramSettings.single(config, data.spec)
    model = Segmentation(TorchEngine(training.state.average.model, settings, CPU))
    return [
        {
            "sizes": condition.sizes,
            "network": condition.network,
            "fold": fold,
            "image": name,
            **dict(zip(FIELDS[4:8], counts.ravel().tolist(), strict=True)),
        }
        for name, counts in counted(model, apart)
    ]


def hardly_validated(training: Training) -> Training:
    """Return it with one frame to validate on: the last epoch is judged, whatever those before scored."""
    data = training.data
    one = {**data.parts, "validation": data.parts["validation"][:1]}
    return replace(training, data=replace(data, parts=one))


def counted(model: Segmentation, data: Dataset) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the confusion matrix (2, 2) of each image of the validation part."""
    for index in data.parts["validation"].tolist():
        labels_HW = model.predict(data.images[index])
        yield data.names[index], confusion_KK(labels_HW, data.masks[index], 2, None)


def table() -> Table:
    """Mean IoU over the pixels of all images, and what each way has over the first, paired by image."""
    rows = recorded()
    counts: dict[tuple[str, str], dict[str, np.ndarray]] = {}
    for row in rows:
        matrix = np.array([int(row[field]) for field in FIELDS[4:8]]).reshape(2, 2)
        counts.setdefault((row["sizes"], row["network"]), {})[row["image"]] = matrix
    shown = Table(title="mean IoU, pooled over images; 95 % by a bootstrap over images")
    for name in (
        "network",
        "frames",
        "images",
        "mean IoU",
        "95 %",
        "over resized",
        "over no weights",
    ):
        shown.add_column(name, justify="right")
    for condition in CONDITIONS:
        mine = counts.get((condition.sizes, condition.network), {})
        if not mine:
            continue
        low, high = np.quantile(drawn([mine])[:, 0], (0.025, 0.975))
        resized = counts.get(("resized", condition.network), {})
        plain = counts.get((condition.sizes, "lite0"), {})
        shown.add_row(
            condition.network,
            condition.sizes,
            str(len(mine)),
            f"{iou(np.sum(list(mine.values()), axis=0)):.4f}",
            f"{low:.4f} to {high:.4f}",
            gain(mine, resized) if condition.sizes == "windows" else "",
            gain(mine, plain) if "weights" in condition.network else "",
        )
    return shown


def iou(confusion: np.ndarray) -> np.ndarray:
    """Return the mean IoU of both classes, of matrices (..., 2, 2)."""
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    union = confusion.sum(-1) + confusion.sum(-2) - hits
    return np.asarray((hits / union).mean(-1))


def drawn(ways: list[dict[str, np.ndarray]]) -> np.ndarray:
    """Return mean IoUs (draws, ways) of the images that all ways have, drawn with replacement."""
    names = sorted(set.intersection(*(set(way) for way in ways)))
    stacked = np.stack([np.stack([way[name] for name in names]) for way in ways])
    chosen = np.random.default_rng(0).multinomial(len(names), [1 / len(names)] * len(names), DRAWS)
    return np.stack([iou(np.einsum("dn,nij->dij", chosen, each)) for each in stacked], axis=1)


def gain(mine: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> str:
    """Return by how much a way is better than another on the same images, with its interval."""
    if not set(mine) & set(other):
        return ""
    names = sorted(set(mine) & set(other))
    pair = [{name: way[name] for name in names} for way in (mine, other)]
    low, high = np.quantile(np.subtract(*drawn(pair).T), (0.025, 0.975))
    both = [iou(np.sum(list(way.values()), axis=0)) for way in pair]
    return f"{both[0] - both[1]:+.4f} ({low:+.4f} to {high:+.4f})"


if __name__ == "__main__":
    main()
