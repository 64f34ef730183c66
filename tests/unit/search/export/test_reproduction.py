"""The commands in a bundle lead to the study that it came from."""

import shlex
from dataclasses import replace
from itertools import pairwise
from types import MappingProxyType

import pytest

from objectives.data.options import DataOptions
from search.export.reproduction import init_command
from search.export.space_words import ANOTHER_SPACE
from search.study.spec import StudySpec
from spaces import Space, load_space
from spaces.fitting import fit_space

CLASSES = 5
SEEDED = DataOptions(seed=3)


def spec_of(space: Space, frames: DataOptions = SEEDED, **changed: object) -> StudySpec:
    plain = StudySpec(
        name="été 1",
        source="/data/my frames.npz",
        frames=frames,
        score="mean IoU",
        data_fingerprint="0",
        space=space.to_dict(),
        space_fingerprint=space.fingerprint,
        trials=20,
        until_s=0.0,
    )
    return plain.model_copy(update=changed)


def option(words: list[str], name: str) -> list[str]:
    return [after for word, after in pairwise(words) if word == name]


@pytest.mark.parametrize(
    ("preset", "sets"),
    [
        ("small", []),
        ("mars", []),
        ("tiny", ["model.depth=3", "train.epochs=5"]),
        (
            "small",
            ["optimiser.learning_rate={float: [1e-4, 1e-2], log: true}", "augment.flip=false"],
        ),
    ],
)
def test_the_space_words_lead_to_the_very_space(preset: str, sets: list[str]) -> None:
    space, _ = fit_space(load_space(preset, sets), CLASSES)
    words = shlex.split(init_command(spec_of(space), CLASSES))
    (name,) = option(words, "--space")
    again, _ = fit_space(load_space(name, option(words, "--set")), CLASSES)
    assert again.fingerprint == space.fingerprint


def test_every_option_of_the_study_is_said() -> None:
    space, _ = fit_space(load_space("tiny"), CLASSES)
    frames = DataOptions(
        (64, 128),
        12,
        (0.725, 0.275, 0.0),
        3,
        (1, 2, "my soil"),
        0.1,
        2.5,
        "none",
        "keep",
        ("a b", "c"),
    )
    frames = replace(frames, channels="grey", folds=5, fold=2)
    spec = spec_of(space, frames, gpu_s=5400.0, until_s=1234567.5, recipes=("A1", "B2"))
    words = shlex.split(init_command(spec, CLASSES))
    assert words[:6] == ["search", "init", "--study", "été 1", "--data", "/data/my frames.npz"]
    found = {word: option(words, word) for word in words if word.startswith("--")}
    assert found == {
        "--study": ["été 1"],
        "--data": ["/data/my frames.npz"],
        "--space": ["tiny"],
        "--trials": ["20"],
        "--seed": ["3"],
        "--gpu-hours": ["1.5"],
        "--until": ["1234567.5s"],
        "--size": ["64x128"],
        "--min-identical": ["12"],
        "--min-labelled": ["0.1"],
        "--max-deviation": ["2.5"],
        "--ignore": ["none"],
        "--exif": ["keep"],
        "--channels": ["grey"],
        "--folds": ["5"],
        "--fold": ["2"],
        "--scored": ["1,2,my soil"],
        "--split": ["72.5/27.5/0"],
        "--leave-out": ["left-out.txt"],
        "--recipes": ["A1,B2"],
    }


def test_a_space_that_no_preset_leads_to_is_named_as_a_file() -> None:
    space, _ = fit_space(load_space("tiny"), CLASSES)
    other = Space(space.domains, MappingProxyType(dict(space.control)), space.pruning, ("nowhere",))
    assert option(shlex.split(init_command(spec_of(other), CLASSES)), "--space") == [ANOTHER_SPACE]
