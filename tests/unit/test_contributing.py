"""The steps of docs/contributing.md, taken on a copy of the code, give what the page says."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "contributing.md").read_text(encoding="utf-8")
STEP = re.compile(
    r"(?:New file `(?P<new>[^`\n]+)`|[Ii]n `(?P<path>[^`\n]+)`, (?P<how>after|before|instead of) "
    r"`(?P<anchor>[^`\n]+)`):\n"
    r"```python\n(?P<code>.*?)```\n",
    re.DOTALL,
)


@dataclass(frozen=True)
class Step:
    """One change of a file."""

    path: str
    how: str  # new, after, before, instead of
    anchor: str
    code: str

    def take(self, tree: Path) -> None:
        """Change the file below ``tree``; what is named must be there once."""
        file = tree / self.path
        if self.how == "new":
            assert not file.exists()
            file.write_text(self.code)
            return
        text = file.read_text()
        assert text.count(self.anchor) == 1, (self.path, self.anchor)
        line = self.anchor + "\n"
        new = {
            "after": text.replace(line, line + self.code),
            "before": text.replace(self.anchor, self.code + self.anchor),
            "instead of": text.replace(self.anchor, self.code.strip("\n")),
        }[self.how]
        assert new != text
        file.write_text(new)


def steps_of(section: str) -> list[Step]:
    """The steps of one section of the page, in their order."""
    text = PAGE.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    found = [
        Step(m["new"] or m["path"], m["how"] or "new", m["anchor"] or "", m["code"])
        for m in STEP.finditer(text)
    ]
    assert len(found) == text.count("```python"), (
        f"a block of {section!r} has no step that is understood"
    )
    return found


SECTIONS = re.findall(r"^## (.+)$", PAGE, re.MULTILINE)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the code with every part of the page added."""
    tree = tmp_path_factory.mktemp("tree")
    for package in ("objectives", "spaces", "search"):
        shutil.copytree(
            ROOT / package, tree / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    for section in SECTIONS:
        for step in steps_of(section):
            step.take(tree)
    return tree


def run(tree: Path, program: str) -> subprocess.CompletedProcess[str]:
    """A program on the changed code."""
    start = f"import sys; sys.path.insert(0, {str(tree)!r})\n"
    return subprocess.run(
        [sys.executable, "-c", start + program],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tree,
    )


@pytest.mark.parametrize(
    ("section", "files"),
    [
        ("A loss", 3),
        ("A network family", 3),
        ("A command", 2),
        ("A schedule", 2),
        ("A pruner", 2),
        ("A reader of frames", 2),
    ],
)
def test_a_part_is_as_few_files_as_the_page_says(section: str, files: int) -> None:
    assert len({step.path for step in steps_of(section)}) == files


TRAIN = """
import json
from pathlib import Path
import torch
from objectives.config import Config
from objectives.data.dataset import DataOptions, open_dataset
from objectives.training.fit import fit, prepare
from spaces import FromParams, load_space
space = load_space("tiny", ["train.epochs=2", "train.steps_per_epoch=2", "model.kind=plain", "model.filters={int: [4, 16]}",
                            "loss.missed={weight: optional}", "loss.missed_power=3.0", "schedule.kind=constant",
                            "control.optimiser.learning_rate=8e-3"])
data = open_dataset("synthetic:40", DataOptions(size=(16, 32)), Path("cache"))
config = space.draw(FromParams({**space.control, "model.filters": 5, "loss.missed.on": True, "loss.missed.weight": 0.5}))
results = list(fit(prepare(config, data, seed=0, device=torch.device("cpu"))))
rates = [each.learning_rate / config.optimiser.learning_rate for each in results]
print(json.dumps([config.model.kind, config.model.filters, config.loss.missed_power, [each.loss for each in results], rates]))
"""


def test_a_trial_trains_the_new_network_with_the_new_loss_and_schedule(tree: Path) -> None:
    done = run(tree, TRAIN)
    assert done.returncode == 0, done.stderr
    kind, filters, power, losses, rates = json.loads(done.stdout)
    assert (kind, filters, power) == ("plain", 5, 3.0)
    assert rates == [1.0, 1.0]
    assert losses[1] < losses[0]


def test_the_new_command_is_listed_helps_and_answers(tree: Path) -> None:
    program = "from search.cli.app import answer\nsys.exit(answer({words!r}))"
    assert "greet        Greet a study." in run(tree, program.format(words=["--help"])).stdout
    assert (
        "search greet --study mars" in run(tree, program.format(words=["greet", "--help"])).stdout
    )
    done = run(tree, program.format(words=["greet", "--study", "mars"]))
    assert (done.returncode, done.stdout) == (0, "hello, mars\n")


JUDGE = """
import optuna
from search.study.pruners import judging
from spaces import load_space
judges = judging(load_space("tiny", ["pruning={kind: floor, epoch: 2, least: 0.5}"]))
study = optuna.create_study(direction="maximize", pruner=judges.pruner)
ended = []
for scores in ([0.1, 0.4], [0.1, 0.6]):
    trial = study.ask()
    for epoch, score in enumerate(scores, 1):
        trial.report(score, epoch)
        ended.append(trial.should_prune())
print(judges.rungs, ended)
"""


def test_the_new_pruner_ends_what_lies_below_its_floor(tree: Path) -> None:
    assert run(tree, JUDGE).stdout == "(2,) [False, True, False, False]\n"


READ = """
from pathlib import Path
import numpy as np
from objectives.data.dataset import DataOptions, check, read_images
from objectives.data.reading.synthetic import generate
terrain = generate(40)
np.save("frames.npy", terrain.images[..., None] if terrain.images.ndim == 3 else terrain.images)
np.save("frames.masks.npy", terrain.masks)
report = check("frames.npy", DataOptions())
print(report.frames - len(terrain.images), report.problems, len(read_images("frames.npy")) - report.frames)
"""


def test_the_new_reader_reads(tree: Path) -> None:
    done = run(tree, READ)
    assert done.stdout == "0 () 0\n", done.stderr
