"""Networks, losses and scores of another installed package: a space varies them, a trial trains them, a
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
from search.cli.saying import words_of
from objectives.errors import SearchError
try:
    print(load_stored_space(json.loads(sys.argv[1])).fingerprint)
except SearchError as error:
    print(words_of(error))
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
fast = "control.optimiser.learning_rate=3e-2"
space = load_space("tiny", ["train.epochs=2", "train.steps_per_epoch=2", fast, *sys.argv[2:]])
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


SCORE = """
import json
from dataclasses import replace
from pathlib import Path
import numpy as np
from objectives.data.dataset import DataOptions, open_dataset
from search.cli.saying import words_of
from objectives.errors import SearchError
options = DataOptions(size=(16, 32))
try:
    usual = open_dataset("synthetic:40", options, Path(sys.argv[1]))
    data = open_dataset("synthetic:40", replace(options, measure="f2"), Path(sys.argv[1]))
    confusion = np.array([[0, 0, 0], [0, 6, 2], [0, 1, 3]])
    scoring = replace(data.spec.scoring, scored=(1, 2))
    words = [data.spec.measure_package, data.spec.score_words]
    print(json.dumps([usual.fingerprint, data.fingerprint, *words, scoring.of(confusion)]))
except SearchError as error:
    print(words_of(error))
"""


def test_a_study_may_be_scored_by_one_and_its_version_is_part_of_the_data(
    run: Run, tmp_path: Path
) -> None:
    cache = str(tmp_path / "cache")
    usual, by_f2, package, words, score = json.loads(run(SCORE, cache).stdout)
    assert (package, words) == ("parts 1.2", "mean f2")
    assert score == pytest.approx((5 * 6 / (4 * 8 + 7) + 5 * 3 / (4 * 4 + 5)) / 2)
    install(tmp_path / "installed", POINTS, version="1.3")
    again = json.loads(run(SCORE, cache).stdout)
    assert (again[0], again[2]) == (usual, "parts 1.3")
    assert len({usual, by_f2, again[1]}) == 3
    assert "score: must be one of iou, dice" in run(SCORE, cache, with_parts=False).stdout


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("50 * hits / true", "must give fractions in 0..1, got 50.0, 25.0: mend the package"),
        (
            "0 * hits / 0.0 / true",
            "must give fractions in 0..1, got nan, nan, nan, nan: mend the package",
        ),
        ("0.5", "must give one number for each class, 4, got 1 of type float64"),
        ("hits > 0", "must give one number for each class, 4, got 4 of type bool"),
        ("['a', 'b']", "must give one number for each class, 4, got 2 of type <U1"),
        ("hits / true.sum()", "must take each class by itself, whatever others stand beside it"),
        ("hits / hits * 0.5", "must give fractions in 0..1, got nan, nan: mend the package"),
        ("(hits & hits) / true", "fails (ufunc 'bitwise_and' not supported for the input types"),
        ("hits / (true * 2 if hits.dtype.kind == 'f' else true)", "must give the same for floats"),
        ("hits / self.weight", "fails ('F2' object has no attribute 'weight'): mend the package"),
    ],
)
def test_what_a_score_gives_is_looked_at(run: Run, tmp_path: Path, body: str, said: str) -> None:
    module = MODULE.replace("5 * hits / (4 * true + predicted)", body)
    install(tmp_path / "installed", POINTS, module=module)
    assert f"the score 'f2' of parts 1.2 {said}" in run(SCORE, str(tmp_path / "cache")).stdout


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (MODULE.replace("def compute(self, hits", "def other(self, hits"), "abstract"),
        (
            MODULE.replace('recall four times."""', 'recall"""\n    weight: float'),
            "1 validation error",
        ),
    ],
)
def test_a_score_that_cannot_be_made_is_refused(
    run: Run, tmp_path: Path, module: str, said: str
) -> None:
    install(tmp_path / "installed", POINTS, module=module)
    refused = run(SCORE, str(tmp_path / "cache")).stdout
    assert "the score 'f2' of parts 1.2 cannot be made (" in refused
    assert said in refused
    assert refused.rstrip().endswith("mend the package")


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
        ("scores", "f2", LOSS, MODULE, "must be a subclass of ForeignScore, got parts:Missed"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(
    run: Run, tmp_path: Path, group: str, name: str, value: str, module: str, said: str
) -> None:
    install(tmp_path / "installed", {group: {name: value}}, module=module)
    done = run(
        "from search.cli.app import answer\nwords = sys.argv[1:]\nsys.exit(answer(words))",
        *(
            ("data", "check", "synthetic:40", "--score", name)
            if group == "scores"
            else ("space", "check", "tiny")
        ),
    )
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_score_that_nobody_names_is_not_even_loaded(run: Run, tmp_path: Path) -> None:
    points = {"scores": {"f2": "nowhere:F2", "iou": "nowhere:Own"}}
    install(tmp_path / "installed", points)
    call = "from search.cli.app import answer\nsys.exit(answer(sys.argv[1:]))"
    assert run(call, "data", "check", "synthetic:40").returncode == 0
    refused = run(call, "data", "check", "synthetic:40", "--score", "f2")
    assert refused.returncode == 2
    assert "the entry point 'f2' of parts 1.2 cannot be loaded (No module" in refused.stderr
