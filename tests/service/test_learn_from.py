"""A study that learns from another one of its database, and goes on when that one is deleted."""

from pathlib import Path

import optuna
import pytest

from objectives.errors import UserError
from search.place import Place
from search.posterior.draws import FromTrial
from search.study.learned import AUTO
from search.study.sampling import build_sampler
from search.study.setup import Request, set_up
from search.study.status import read_status
from search.study.stored import Study, open_study
from tests.support.studies_written import FRAMES, trials_of, write

pytestmark = pytest.mark.long

MODEL = ("train.epochs=4", "sampler=model")


@pytest.fixture
def place(database: str, tmp_path: Path) -> Place:
    return Place(database, str(tmp_path / "artifacts"), tmp_path / "cache")


def tell(study: Study, scores: list[float], epochs: int) -> list[dict[str, object]]:
    """Whole trials without training, and their parameters."""
    drawn = []
    for score in scores:
        trial = study.optuna.ask()
        study.optuna.sampler = build_sampler(study.spec, study.ground, trial.number)
        study.space.draw(FromTrial(trial))
        for epoch in range(1, 1 + epochs):
            trial.report(score * epoch / epochs, step=epoch)
        study.optuna.tell(trial, score)
        drawn.append(dict(trial.params))
    return drawn


@pytest.fixture
def old(place: Place) -> Study:
    study = write(place, "old", trials=8, sets=("train.epochs=6",))
    tell(study, [0.5, 0.6, 0.4, 0.55, 0.45, 0.7, 0.3], 6)
    return study


def learning(place: Place, asked: str, name: str = "new", sets: tuple[str, ...] = MODEL) -> Study:
    request = Request(name=name, source=FRAMES, space="tiny", trials=4, sets=sets, learn_from=asked)
    list(set_up(request, place))
    return open_study(place.storage, name)


def test_proposals_stay_when_the_other_study_is_deleted(old: Study, place: Place) -> None:
    first = learning(place, "old")
    assert [each.state.name for each in trials_of(first)] == ["WAITING"], "the control alone"
    assert read_status(first).learned == "7 runs of old"
    assert read_status(first).spent == 1
    again = learning(place, AUTO, name="twin")
    drawn = tell(first, [0.5, 0.52, 0.51], 4)
    assert again.spec.lessons.studies[0] == first.spec.lessons.studies[0]
    optuna.delete_study(study_name="old", storage=old.storage)
    assert learning(place, "old").spec == first.spec, "the same command again"
    assert tell(again, [0.5, 0.52, 0.51], 4) == drawn
    alone = learning(place, "", name="alone")
    assert tell(alone, [0.5, 0.52, 0.51], 4) != drawn
    assert read_status(alone).learned == ""


@pytest.mark.parametrize(
    ("asked", "sets", "said"),
    [
        ("new", MODEL, "cannot learn from itself"),
        ("nowhere", MODEL, "no study 'nowhere'"),
        ("empty", MODEL, "no complete trial yet"),
        ("narrow", MODEL, "free fields"),
    ],
)
def test_what_cannot_be_learned_from_is_one_line(
    old: Study, place: Place, asked: str, sets: tuple[str, ...], said: str
) -> None:
    write(place, "empty", trials=4, sets=MODEL)
    narrow = [
        f"{name}={old.space.control[name]}"
        for name in old.space.control
        if name.startswith(("optimiser.", "augment."))
    ]
    write(place, "narrow", trials=4, sets=("train.epochs=4", *narrow))
    with pytest.raises(UserError, match=said) as error:
        learning(place, asked, sets=sets)
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="no study 'new'"):
        open_study(place.storage, "new")
