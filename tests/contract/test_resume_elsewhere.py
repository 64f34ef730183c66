"""A run that another process goes on with, after whichever epoch, ends as if it had never been
interrupted, bit for bit.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from objectives.config import (
    SGD,
    Adam,
    AdamW,
    Augment,
    Config,
    Cosine,
    InverseFrequency,
    Lion,
    Loss,
    OneCycle,
    Plateau,
    SecondPhase,
    Train,
    UNet,
)
from objectives.data.dataset import Dataset
from objectives.device.precision import computes_bf16
from objectives.training.fit import fit, prepare
from tests.support import resume_states
from tests.support.training_checks import assert_same_state, header_of, leave_room

NET = UNet(depth=2, base_filters=4, dropout=0.3)
EVERYTHING = Augment(intensity=1.0, vertical_flip=True, elastic=True, copy_paste=0.8)
ROOM = 4  # frames for which there is memory in the run that must make do with parts of batches
ROOT = Path(__file__).resolve().parents[2]
CPU = torch.device("cpu")


def train_of(
    *, epochs: int = 4, batch_size: int = 8, early_stopping: int = 0, **switches: float
) -> Train:
    common = {
        "epochs": epochs,
        "batch_size": batch_size,
        "scale": 0.5,
        "steps_per_epoch": 2,
        "early_stopping": early_stopping,
    }
    return Train.model_validate(common | switches)


CONFIGS = {
    "augmented": Config(
        model=NET,
        augment=EVERYTHING,
        optimiser=AdamW(),
        schedule=Cosine(),
        train=train_of(bf16=False, ema=0.9, rare_repeat=3),
    ),
    "stopped": Config(  # early
        model=UNet(depth=2, base_filters=4),
        augment=Augment(copy_paste=0.5, copy_paste_edge="hard"),
        optimiser=SGD(learning_rate=0.5),
        schedule=Plateau(factor=0.5, patience=0),
        train=train_of(epochs=12, early_stopping=1, bf16=False, ema=0.0),
    ),
    "phased": Config(
        model=NET,
        loss=Loss(class_weights=InverseFrequency()),
        second_loss=SecondPhase(cross_entropy=0.4, dice=0.6),
        optimiser=Adam(weight_decay=0.01),
        schedule=OneCycle(),
        train=train_of(bf16=False, ema=0.99, gradient_clip=0.5),
    ),
    "bf16": Config(
        model=NET.model_copy(update={"deep_supervision": True}),
        optimiser=Lion(),
        schedule=Cosine(),
        train=train_of(bf16=True, ema=0.9),
    ),
    "in_parts": Config(
        model=NET,
        loss=Loss(cross_entropy=0.7, dice=0.3),
        optimiser=SGD(momentum=0.9),
        schedule=Cosine(),
        train=train_of(batch_size=9, bf16=False, ema=0.9),
    ),
}


@pytest.fixture(scope="module")
def whole(terrain: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the state of each run after each epoch, and as another process ended it from
    there.
    """
    folder, threads = tmp_path_factory.mktemp("states"), torch.get_num_threads()
    torch.set_num_threads(1)  # bits are equal for equal thread counts only
    for name, config in CONFIGS.items():
        (folder / f"{name}.json").write_text(config.model_dump_json())
        training = prepare(config, terrain, seed=resume_states.SEED, device=CPU)
        if name == "in_parts":
            # there is enough elsewhere: what counts is how the trial began
            leave_room(training, ROOM)
        for result in fit(training):
            (folder / f"{name}.{result.number}.state").write_bytes(training.state.to_bytes())
    torch.set_num_threads(threads)
    command = [sys.executable, "-m", resume_states.__name__, str(terrain.directory), str(folder)]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


def states_of(name: str, folder: Path) -> list[bytes]:
    """The states of a run, epoch by epoch."""
    epochs = len(list(folder.glob(f"{name}.*.state")))
    return [(folder / f"{name}.{epoch}.state").read_bytes() for epoch in range(1, epochs + 1)]


@pytest.mark.parametrize("name", CONFIGS)
def test_a_run_ends_alike_wherever_it_is_resumed(name: str, whole: Path) -> None:
    *_, last = states = states_of(name, whole)
    assert len(states) >= 3
    for epoch in range(1, len(states) + 1):
        assert_same_state((whole / f"{name}.{epoch}.ended").read_bytes(), last)


def test_the_runs_are_what_they_are_named_after(whole: Path) -> None:
    """What the test above compares is worth something only if each run does what it is
    there for.
    """
    stopped = header_of(states_of("stopped", whole)[-1])
    assert 3 <= len(stopped["history"]) < CONFIGS["stopped"].train.epochs
    assert stopped["learning_rate"]["factor"] < 1.0
    assert header_of(states_of("bf16", whole)[-1])["bf16"] == computes_bf16(CPU)
    assert [header_of(state)["micro_batch"] for state in states_of("in_parts", whole)] == [ROOM] * 4
