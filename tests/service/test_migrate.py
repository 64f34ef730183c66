"""Migrating: what fits into a changed space begins the new study, and nothing else; all of it or
nothing.
"""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import func, insert, select

from objectives.errors import UserError
from search.database.connections import NoStudyError
from search.database.tables import CHECKPOINT, EPOCH, STUDY
from search.place import Place
from search.posterior.draws import FromTrial
from search.study.migrate import Wish, migrate_study
from search.study.sampling import build_sampler
from search.study.status import read_status
from search.study.stored import Study, open_study
from search.trials.checkpoints import pointers_of
from search.trials.claims import Claimed, Done, claim
from search.trials.drawing import draw
from spaces import FromParams
from spaces.fields.schema import flatten
from spaces.values import Value
from tests.support.studies_written import trials_of, write

pytestmark = pytest.mark.long

Command = Callable[..., subprocess.CompletedProcess[str]]

EPOCHS = ("train.epochs=4",)  # one rung, after the second epoch
WIDER = (*EPOCHS, "model.dropout={float: [0.0, 0.15]}", "train.batch_size={choice: [4, 8, 16]}")
# with a control that the old study has not trained
ELSEWHERE = (*WIDER, "control.optimiser.learning_rate=7.0e-3")


@pytest.fixture
def place(database: str, tmp_path: Path) -> Place:
    return Place(database, str(tmp_path / "artifacts"), tmp_path / "cache")


def run_one(study: Study, score: float, cause: str = "completed") -> int:
    """A trial told without training: all its epochs, or pruned when the pruner says so, or as the
    cause says.
    """
    trial = study.optuna.ask()
    study.optuna.sampler = build_sampler(study.spec, study.ground, trial.number)
    study.space.draw(FromTrial(trial))
    trial.set_user_attr("epochs", 4)
    state, value = TrialState.COMPLETE, score
    if cause == "infeasible":
        trial.set_constraint("infeasible", 1.0)
        state = TrialState.PRUNED
    elif cause == "diverged":
        state = TrialState.FAIL
    else:
        for epoch in range(1, 5):
            trial.report(score * epoch / 4, step=epoch)
            if trial.should_prune() and trial.number:
                cause, state = "pruned", TrialState.PRUNED
                break
    if cause != "by hand":
        trial.set_user_attr("end_cause", cause)
    study.optuna.tell(trial, value if state == TrialState.COMPLETE else None, state=state)
    return trial._trial_id


@pytest.fixture
def old(place: Place) -> Study:
    """Twelve trials, of which nine have an end that tells something; the last is at hand."""
    study = write(place, "old", trials=12, sets=EPOCHS)
    causes = ["completed"] * 7 + ["infeasible", "diverged", "by hand", "completed"]
    scores = [0.5, 0.7, 0.2, 0.6, 0.1, 0.8, 0.3, 0.0, 0.0, 0.9, 0.4]
    for cause, score in zip(causes, scores, strict=True):
        trial_id = run_one(study, score, cause)
        rows = [{"trial_id": trial_id, "kind": kind, "blob": f"{kind} {trial_id}", "epoch": 4, "score": score}
                for kind in ("last", "best")]  # fmt: skip
        with study.engine.begin() as connection:
            connection.execute(insert(CHECKPOINT), rows)
            measured = {"measured": [0.5, score], "balanced_nll": 1.0, "seconds": float(trial_id)}
            epoch = {"trial_id": trial_id, "epoch": 1, "soft_score": score, **measured}
            connection.execute(insert(EPOCH).values(epoch))
    study.optuna.ask()
    return study


def migrate(
    old: Study, place: Place, name: str = "new", sets: tuple[str, ...] = WIDER, trials: int = 4
) -> list[str]:
    return [*migrate_study(old, Wish(name, "tiny", trials, sets), place)]


def fitting(old: Study) -> list[FrozenTrial]:
    """By the fields that the new space changes, read from the old parameters by hand."""
    told = [
        trial
        for trial in trials_of(old)
        if "end_cause" in trial.user_attrs and trial.state != TrialState.FAIL
    ]
    return [trial for trial in told if trial.params["model.dropout"] <= 0.15]


def epochs_of(study: Study, trial: FrozenTrial) -> list[tuple[Any, ...]]:
    """What is stored of a trial's epochs beside its scores."""
    asked = select(EPOCH).where(EPOCH.c.trial_id == trial._trial_id).order_by(EPOCH.c.epoch)
    with study.engine.connect() as connection:
        return [(row.epoch, row.soft_score, row.seconds) for row in connection.execute(asked)]


def flat(study: Study, trial: FrozenTrial) -> dict[str, Value]:
    """The fields of a trial's config."""
    return flatten(study.space.draw(FromParams(trial.params)))


def test_ended_trials_that_fit_begin_the_new_study(old: Study, place: Place) -> None:
    said = migrate(old, place)
    new, originals = open_study(place.storage, "new"), fitting(old)
    copies = [trial for trial in trials_of(new) if trial.state.is_finished()]
    assert 3 < len(originals) < 9  # of nine that could tell something
    assert {trial.state for trial in originals} == {TrialState.COMPLETE, TrialState.PRUNED}
    assert [copy.user_attrs["migrated_from"]["number"] for copy in copies] == [
        trial.number for trial in originals
    ]
    assert [copy.number for copy in copies] == [*range(len(copies))]
    for copy, original in zip(copies, originals, strict=True):
        assert copy.user_attrs["migrated_from"] == {
            "study": "old", "number": original.number, "seed": old.run(original.number).seed
        }  # fmt: skip
        assert epochs_of(new, copy) == epochs_of(old, original)
        assert len(epochs_of(new, copy)) == 1
        assert flat(new, copy) == pytest.approx(flat(old, original))
        for what in (
            "state",
            "value",
            "intermediate_values",
            "constraints",
            "datetime_start",
            "datetime_complete",
        ):
            assert getattr(copy, what) == getattr(original, what)
        cause = original.user_attrs["end_cause"]
        assert copy.user_attrs["end_cause"] == (
            "infeasible in old" if cause == "infeasible" else cause
        )
        assert copy.distributions[
            "train.batch_size"
        ] == optuna.distributions.CategoricalDistribution((4, 8, 16))
        best = pointers_of(old.engine, original._trial_id)["best"]
        found = pointers_of(new.engine, copy._trial_id)
        assert found == ({"best": best})
    assert any(copy.constraints for copy in copies)
    assert copies[0].user_attrs["recipe"] == "control"
    assert f"{9 - len(copies)}: model.dropout must lie in 0 .. 0.15" in said[-2]
    for reason in ("1: failed", "1: ended by somebody else", "1: not ended yet"):
        assert reason in said[-2]
    assert (
        f"4 new trials of 4 epochs ({4 + len(copies)} with the copies), its control is among"
        in said[-1]
    )
    for study in (old, new):
        study.close()


def test_the_new_study_takes_as_many_new_trials_as_were_asked_for(old: Study, place: Place) -> None:
    migrate(old, place)
    new = open_study(place.storage, "new")
    before = len(trials_of(new))
    ran = 0
    while isinstance(claimed := claim(new, "a", threads=1), Claimed):
        draw(new, claimed.lease)
        trial = new.trial(claimed.lease.trial_id)
        trial.set_user_attr("end_cause", "completed")
        new.optuna.tell(trial, 0.5)
        ran += 1
    assert claim(new, "a", threads=1) == Done()
    assert (ran, len(trials_of(new))) == (4, before + 4)
    assert read_status(new).spent == new.spec.trials
    for study in (old, new):
        study.close()


def test_many_infeasible_copies_leave_the_budget_exact(place: Place) -> None:
    """Twelve of fourteen copies could not work: so many of its own trials would end the
    new study.
    """
    old = write(place, "old", trials=2, sets=EPOCHS)
    for cause in ["completed", "completed"] + ["infeasible"] * 12:
        run_one(old, 0.5, cause)
    migrate(old, place, sets=EPOCHS, trials=3)
    new = open_study(place.storage, "new")
    assert len(trials_of(new)) == 14
    assert new.spec.trials == 14 + 3
    ran = 0
    while isinstance(claim(new, "a", threads=1), Claimed):
        run_told = [trial for trial in trials_of(new) if trial.state == TrialState.RUNNING]
        new.storage.set_trial_user_attr(run_told[0]._trial_id, "end_cause", "completed")
        new.storage.set_trial_state_values(run_told[0]._trial_id, TrialState.COMPLETE, [0.5])
        ran += 1
    assert ran == 3
    for study in (old, new):
        study.close()


def test_a_control_that_is_new_is_trained_first(old: Study, place: Place) -> None:
    said = migrate(old, place, sets=ELSEWHERE)
    new = open_study(place.storage, "new")
    first, *others = trials_of(new)
    assert (first.state, first.user_attrs["recipe"]) == (TrialState.WAITING, "control")
    assert first.system_attrs["fixed_params"] == dict(new.space.control)
    assert [trial.state.is_finished() for trial in others] == [True] * len(fitting(old))
    assert others[0].user_attrs["recipe"] == "control of old"
    assert "the control first" in said[-1]
    assert new.spec.trials == 4 + len(others)
    for study in (old, new):
        study.close()


def test_sampler_and_pruner_learn_from_the_copies(old: Study, place: Place) -> None:
    """A new trial far behind the copies at the rung is pruned; without them it would lead
    its rung.
    """
    migrate(old, place)
    new = open_study(place.storage, "new")
    poor = run_one(new, 0.01)
    good = run_one(new, 0.95)
    assert new.storage.get_trial(poor).state == TrialState.PRUNED
    assert new.storage.get_trial(good).state == TrialState.COMPLETE
    assert set(new.storage.get_trial(good).params) >= {
        "model.base_filters",
        "optimiser.learning_rate",
    }
    for study in (old, new):
        study.close()


def test_again_with_equal_arguments_nothing_happens(old: Study, place: Place) -> None:
    migrate(old, place)
    new = open_study(place.storage, "new")
    before = trials_of(new)
    # the old study goes on meanwhile
    old.optuna.tell(trials_of(old)[-1].number, state=TrialState.FAIL)
    run_one(old, 0.65)
    assert "is there already" in migrate(old, place)[-1]
    assert trials_of(new) == before
    with pytest.raises(
        UserError, match=f"trials is {len(before) + 4} there, {len(before) + 5} wanted"
    ):
        migrate(old, place, trials=5)
    with pytest.raises(UserError, match="other settings: --set pruning is"):
        migrate(old, place, sets=(*WIDER, "pruning={kind: none}"))
    third = write(place, "third", trials=2, sets=EPOCHS)
    with pytest.raises(UserError, match="'third' exists, and has not come from 'old'"):
        migrate(old, place, name="third")
    for study in (old, new, third):
        study.close()


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        (
            Wish("new", "tiny", 4, EPOCHS, source="synthetic:60"),
            "'old' cannot be migrated: its data is",
        ),
        (Wish("new", "tiny", 4), r"nothing of study 'old' fits .*: train.epochs is fixed at 8"),
        (Wish("new", "tiny", 4, ("train.epochs=no",)), "train.epochs"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_written(
    old: Study, place: Place, wish: Wish, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        list(migrate_study(old, wish, place))
    assert [study.study_name for study in optuna.get_all_study_summaries(old.storage)] == ["old"]
    old.close()


KILLED = """
import os, sys
from pathlib import Path
import optuna
from search.place import Place
from search.study.migrate import Wish, migrate_study
from search.study.stored import open_study

url, artifacts, cache, left, *sets = sys.argv[1:]
calls = iter(range(100))
def die(self, trial, add=optuna.Study.add_trial):
    if next(calls) == int(left):
        os.kill(os.getpid(), 9)
    add(self, trial)

optuna.Study.add_trial = die
list(migrate_study(open_study(url, "old"), Wish("new", "tiny", 4, tuple(sets)), Place(url, artifacts, Path(cache))))
"""


def test_killed_in_the_middle_it_leaves_nothing_to_join_and_a_second_run_is_whole(
    old: Study, place: Place
) -> None:
    words = [place.storage, place.artifacts, str(place.cache), "3", *ELSEWHERE]
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, *words], check=False, capture_output=True, text=True
    )
    assert killed.returncode == -9, killed.stderr
    half = optuna.load_study(study_name="new", storage=old.storage)
    assert len(half.get_trials()) == 3  # the control and two copies
    with pytest.raises(NoStudyError, match="no study 'new'"):
        open_study(place.storage, "new")
    with old.engine.connect() as connection:
        before = connection.execute(select(func.count()).select_from(CHECKPOINT)).scalar_one()
    migrate(old, place)  # with another space than the one that was killed
    new = open_study(place.storage, "new")
    assert [trial.user_attrs["migrated_from"]["number"] for trial in trials_of(new)] == [
        t.number for t in fitting(old)
    ]
    with old.engine.connect() as connection:
        assert connection.execute(
            select(func.count()).select_from(CHECKPOINT)
        ).scalar_one() == before + len(fitting(old))
        assert connection.execute(select(func.count()).select_from(STUDY)).scalar_one() == 2
    for study in (old, new):
        study.close()


def test_two_copies_of_a_copy_name_the_seed_of_the_trial_that_was_trained(
    old: Study, place: Place
) -> None:
    migrate(old, place)
    new = open_study(place.storage, "new")
    migrate(new, place, name="third")
    third = open_study(place.storage, "third")
    for copy, original in zip(trials_of(third), fitting(old), strict=False):
        source = copy.user_attrs["migrated_from"]
        assert (source["study"], source["seed"]) == ("new", old.run(original.number).seed)
    for study in (old, new, third):
        study.close()
