"""Networks and losses of another installed package: a space varies them, a trial trains them, a
study names their version.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.foreign_package import MODULE, POINTS, USING, install

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A program in a process of its own, with the installed package or without."""

    def run(program: str, *words: str, with_parts: bool = True) -> subprocess.CompletedProcess[str]:
        paths = [
            str(Path(__file__).resolve().parents[3]),
            *([str(tmp_path / "installed")] if with_parts else []),
        ]
        start = f"import sys; sys.path[:0] = {paths!r}\n"
        return subprocess.run(
            [sys.executable, "-c", start + program, *words],
            capture_output=True,
            text=True,
            timeout=120,
        )

    install(tmp_path / "installed", POINTS)
    return run


SPACE = """
import json
from spaces import load_space
space = load_space("tiny", sys.argv[1:])
print(json.dumps([space.fingerprint, space.to_dict()]))
"""
READ = """
import json
from spaces import load_stored_space
from search.cli.app import _words
from objectives.errors import SearchError
try:
    print(load_stored_space(json.loads(sys.argv[1])).fingerprint)
except SearchError as error:
    print(_words(error))
"""


def test_a_space_that_uses_them_names_their_version_and_others_do_not_know_of_them(
    run: Run, tmp_path: Path
) -> None:
    usual, there = run(SPACE, with_parts=False), run(SPACE)
    assert usual.stdout == there.stdout
    fingerprint, stored = json.loads(run(SPACE, *USING).stdout)
    assert stored["foreign"] == {"networks.plain": "parts 1.2", "losses.missed": "parts 1.2"}
    assert run(READ, json.dumps(stored)).stdout.strip() == fingerprint
    refused = run(READ, json.dumps(stored), with_parts=False).stdout
    assert "networks.plain: must come from parts 1.2: install that, got nothing" in refused
    install(tmp_path / "installed", POINTS, version="1.3")
    assert "losses.missed: must come from parts 1.2" in run(READ, json.dumps(stored)).stdout
    assert json.loads(run(SPACE, *USING).stdout)[0] != fingerprint


TRAIN = """
import json
from pathlib import Path
import torch
from objectives.config import Config
from objectives.data.dataset import DataOptions, open_dataset
from objectives.training.fit import fit, prepare
from spaces import FromParams, load_space
space = load_space("tiny", ["train.epochs=2", "train.steps_per_epoch=2", *sys.argv[2:]])
data = open_dataset("synthetic:40", DataOptions(size=(16, 32)), Path(sys.argv[1]))
config = space.draw(FromParams({**space.control, "model.filters": 5, "loss.missed.on": True, "loss.missed.weight": 0.5}))
training = prepare(config, data, seed=0, device=torch.device("cpu"))
results = list(fit(training))
print(json.dumps([config.model.kind, config.loss.missed, config.loss.missed_power, [each.loss for each in results]]))
print(Config().model_dump_json())
"""


def test_a_trial_trains_them(run: Run, tmp_path: Path) -> None:
    done = run(TRAIN, str(tmp_path / "cache"), *USING)
    assert done.returncode == 0, done.stderr
    trained, usual = map(json.loads, done.stdout.splitlines())
    kind, weight, power, losses = trained
    assert (kind, power, len(losses)) == ("plain", 3.0, 2)
    assert 0 < weight < 1
    assert losses[1] < losses[0]
    assert "missed" not in usual["loss"]


NETWORK, LOSS = "parts:Plain", "parts:Missed"


@pytest.mark.parametrize(
    ("group", "name", "value", "module", "said"),
    [
        (
            "networks",
            "unet",
            NETWORK,
            MODULE.replace('"plain"', '"unet"'),
            "brings a network 'unet', which is one of our own",
        ),
        (
            "networks",
            "other",
            NETWORK,
            MODULE,
            'must have the field kind: Literal["other"] = "other"',
        ),
        (
            "networks",
            "plain",
            LOSS,
            MODULE,
            "must be a subclass of ForeignNetwork, got parts:Missed",
        ),
        (
            "networks",
            "plain",
            NETWORK,
            "1 / 0",
            "cannot be loaded (division by zero): mend the package, or uninstall it",
        ),
        (
            "losses",
            "dice",
            LOSS,
            MODULE,
            "brings a loss whose field 'dice' is there already: rename it there",
        ),
        ("losses", "A b", LOSS, MODULE, "must be named like some_name: rename it there"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(
    run: Run, tmp_path: Path, group: str, name: str, value: str, module: str, said: str
) -> None:
    install(tmp_path / "installed", {group: {name: value}}, module=module)
    done = run("from search.cli.app import answer\nsys.exit(answer(['space', 'check', 'tiny']))")
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
