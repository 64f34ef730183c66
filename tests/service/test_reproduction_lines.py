"""The lines in a model card, typed into an empty database, write the very study that they stand
for.
"""

import shlex
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState
from sqlalchemy import select

from objectives.data.options import DataOptions
from search.confirm.plan import plan, plan_of, write_plan
from search.database.tables import STUDY
from search.export.reproduction import reproduction, study_lines
from search.export.winner import Winner, best_trial, find_winner
from search.place import Place
from search.posterior.draws import FromTrial
from search.study.budget import current_budget
from search.study.migrate import Wish, migrate_study
from search.study.orders import extend_budget
from search.study.record import Notes
from search.study.sampling import build_sampler
from search.study.setup import Request, set_up
from search.study.spec import stable_seed
from search.study.stored import Study, open_study
from spaces.recipes import implied_sets
from tests.support.studies_written import FRAMES, trials_of

Command = Callable[..., subprocess.CompletedProcess[str]]
Type = Callable[[list[str]], None]

CLASSES = 5  # of the generated frames
EPOCHS = "train.epochs=4"
READ = DataOptions(seed=3, min_labelled=1 / 3, shares=(0.7, 0.3, 0.0), leave_out=("11", "3"))
LEARNT = DataOptions(seed=2, size=(32, 64), ignore="none", scored=(1, 2, 3, 4))
WIDER = (EPOCHS, "model.dropout={float: [0.0, 0.15]}", "train.batch_size={choice: [4, 8, 16]}")


@pytest.fixture
def place(database: str, tmp_path: Path) -> Place:
    return Place(database, str(tmp_path / "artifacts"), tmp_path / "cache")


@pytest.fixture
def elsewhere(make_database: Callable[[], str]) -> str:
    """The URL of a second database, without a study."""
    return make_database()


@pytest.fixture
def typed(
    search: Command, elsewhere: str, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Type]:
    """Type lines into a shell that works on the second database; a worker's trials are told, not
    trained.
    """
    monkeypatch.chdir(tmp_path)

    def typing(lines: list[str]) -> None:
        for line in lines:
            words = shlex.split(line, comments=True)
            assert words[:1] in ([], ["search"], ["printf"])
            if words[:1] == ["printf"]:
                subprocess.run(line, shell=True, check=True)
            elif words[1:2] == ["worker"]:
                told(elsewhere, words[words.index("--study") + 1])
            elif words:
                where = {"SEARCH_STORAGE": elsewhere, "SEARCH_CACHE": str(place.cache)}
                done = search(
                    *words[1:],
                    SEARCH_ARTIFACTS=str(tmp_path / "others"),
                    SEARCH_DEVICE="cpu",
                    **where,
                )
                assert done.returncode == 0, f"{line}: {done.stderr}"

    return typing


def written(place: Place, **asked: object) -> Study:
    """A new study of a few frames."""
    list(set_up(Request(**{"source": FRAMES, "space": "tiny", "sets": (EPOCHS,)} | asked), place))  # type: ignore[arg-type]
    return open_study(place.storage, str(asked["name"]))


def told(url: str, name: str) -> None:
    """End every trial of a study's budget with a score that follows from its parameters."""
    study = open_study(url, name)
    while (budget := current_budget(study)).waiting or budget.counted < budget.trials:
        trial = study.optuna.ask()
        study.optuna.sampler = build_sampler(study.spec, study.ground, trial.number)
        study.space.draw(FromTrial(trial))
        score, state = stable_seed(sorted(trial.params.items())) / 2**31, TrialState.COMPLETE
        for epoch in range(1, 5):
            trial.report(score * epoch / 4, step=epoch)
            if trial.should_prune() and trial.number:
                state = TrialState.PRUNED
                break
        for key, value in {
            "end_cause": state.name.lower().replace("complete", "completed"),
            "epochs": epoch,
        }.items():
            trial.set_user_attr(key, value)
        study.optuna.tell(trial, score if state == TrialState.COMPLETE else None, state=state)
    study.close()


def facts(url: str, name: str) -> tuple[object, ...]:
    """What makes two studies equal: the specification, the budget of now, and every trial."""
    study = open_study(url, name)
    with study.engine.connect() as connection:
        columns = STUDY.c.trials, STUDY.c.gpu_s, STUDY.c.until_s
        budget = tuple(
            connection.execute(select(*columns).where(STUDY.c.study_id == study.id)).one()
        )
    trials = [(trial.params, trial.value, trial.state) for trial in trials_of(study)]
    study.close()
    return study.spec, budget, trials


@pytest.mark.long
def test_a_study_that_was_extended_is_extended_again(
    place: Place, typed: Type, elsewhere: str
) -> None:
    study = written(
        place, name="été 1", trials=4, gpu_s=1.1 * 3600, until_s=1.1 * 3600, frames=READ
    )
    told(place.storage, "été 1")
    extend_budget(study, trials=30, gpu_s=0.0, until_s=0.0)
    told(place.storage, "été 1")
    extend_budget(study, trials=2, gpu_s=0.7 * 3600, until_s=0.7 * 3600)
    told(place.storage, "été 1")
    lines = study_lines(study, CLASSES)
    assert [shlex.split(line)[1] for line in lines] == ["%s\\n", "init", "extend", "worker"]
    typed(lines)
    assert facts(elsewhere, "été 1") == facts(place.storage, "été 1")
    study.close()


@pytest.mark.long
def test_a_study_written_with_its_last_budget_draws_other_trials(place: Place) -> None:
    few, many = written(place, name="few", trials=4), written(place, name="many", trials=36)
    extend_budget(few, trials=32, gpu_s=0.0, until_s=0.0)
    for study in (few, many):
        told(place.storage, study.spec.name)
    drawn = [[trial.params for trial in trials_of(study)] for study in (few, many)]
    assert drawn[0] != drawn[1], "the number of trials at first decides how the sampler starts"
    few.close()
    many.close()


@pytest.mark.long
def test_a_migrated_study_is_migrated_again_from_its_original(
    place: Place, typed: Type, elsewhere: str
) -> None:
    old = written(place, name="old", trials=8)
    extend_budget(old, trials=4, gpu_s=0.0, until_s=0.0)
    told(place.storage, "old")
    list(migrate_study(old, Wish("new", "tiny", 5, WIDER, until_s=3600.0), place))
    new = open_study(place.storage, "new")
    told(place.storage, "new")
    extend_budget(new, trials=2, gpu_s=0.0, until_s=0.0)
    told(place.storage, "new")
    lines = study_lines(new, CLASSES)
    assert [shlex.split(line)[1] for line in lines] == [
        "init",
        "extend",
        "worker",
        "migrate",
        "extend",
        "worker",
    ]
    typed(lines)
    for name in ("old", "new"):
        assert facts(elsewhere, name) == facts(place.storage, name)
    old.close()
    new.close()


@pytest.mark.parametrize("since", ["more trials", "deleted"])
def test_of_a_migrated_study_whose_original_is_another_by_now_that_is_said(
    place: Place, since: str
) -> None:
    old = written(place, name="old", trials=6)
    told(place.storage, "old")
    list(migrate_study(old, Wish("new", "tiny", 5, WIDER), place))
    new = open_study(place.storage, "new")
    if since == "deleted":
        optuna.delete_study(study_name="old", storage=old.storage)
    else:
        extend_budget(old, trials=6, gpu_s=0.0, until_s=0.0)
        told(place.storage, "old")
    said, command, worker = study_lines(new, CLASSES)
    copies = sum("migrated_from" in trial.user_attrs for trial in trials_of(new))
    assert said.startswith(
        f"# study 'new' began with {copies} trials copied from study 'old' as that was then"
    )
    words = shlex.split(command)
    assert words[:6] == ["search", "migrate", "--study", "old", "--to", "new"]
    assert (words[words.index("--trials") + 1], worker) == ("5", "search worker --study new")
    old.close()
    new.close()


@pytest.mark.long
def test_recipes_with_fewer_filters_are_run_so_again(
    place: Place, typed: Type, elsewhere: str
) -> None:
    sets = (*implied_sets(1, 0.3), "train.steps_per_epoch=1")
    asked = {
        "space": "recipes",
        "sets": sets,
        "trials": 0,
        "recipes": "A1",
        "filters": 0.3,
        "frames": LEARNT,
    }
    study = written(place, name="seeds", **asked)
    extend_budget(study, trials=1, gpu_s=0.0, until_s=0.0)
    run, extend, worker = study_lines(study, CLASSES)
    assert "train.epochs=1" not in run
    assert (extend, worker) == (
        "search extend --study seeds --trials +1",
        "search worker --study seeds",
    )
    typed([run, extend])
    spec, budget, trials = facts(elsewhere, "seeds")
    first, now, waiting = facts(place.storage, "seeds")
    assert (spec, budget) == (first, now)
    assert isinstance(trials, list)
    assert isinstance(waiting, list)
    assert [params for params, *_ in trials] == [
        trial.system_attrs["fixed_params"] for trial in trials_of(study)
    ]
    study.close()


def test_commands_that_train_say_where_frames_were_augmented(place: Place) -> None:
    study = written(place, name="there", trials=2)
    told(place.storage, "there")
    assert study_lines(study, CLASSES)[-1] == "search worker --study there"
    trial = study.optuna.ask()
    for key, value in Notes(augmented_on="device").attributes().items():
        trial.set_user_attr(key, value)
    init, worker = study_lines(study, CLASSES)
    assert init.startswith("search init ")
    assert worker == "SEARCH_AUGMENT=device search worker --study there"
    study.close()


@pytest.mark.long
def test_a_confirmation_of_other_candidates_than_those_of_now_is_told(
    place: Place, typed: Type, elsewhere: str
) -> None:
    study = written(place, name="small", trials=6)
    told(place.storage, "small")
    write_plan(place.storage, plan(study, top=50, seeds=2, resplit=False))
    confirming = open_study(place.storage, "small/confirm")
    chosen = Winner(confirming, 0, 0, 0, 0.5, best_trial(study).belief)
    lines = reproduction(study, chosen, CLASSES, "segmentation-search 1.0", "search export-best")
    assert lines[-2:] == (
        "search confirm --study small --top 50 --seeds 2 --no-resplit",
        "search export-best",
    )
    typed([*lines[:-2], f"{lines[-2]} --workers 0"])
    there = open_study(elsewhere, "small/confirm")
    ids = {
        "purpose": plan_of(there.spec).model_copy(
            update={"study_id": plan_of(confirming.spec).study_id}
        )
    }
    assert there.spec.model_copy(update=ids) == confirming.spec
    extend_budget(study, trials=20, gpu_s=0.0, until_s=0.0)
    told(place.storage, "small")
    remark, command, _ = reproduction(
        study, chosen, CLASSES, "segmentation-search 1.0", "search export-best"
    )[-3:]
    assert remark.startswith(
        "# study 'small/confirm' was planned before all of these trials had ended"
    )
    assert command == lines[-2]
    assert (
        len(
            reproduction(study, find_winner(study, place.storage), CLASSES, "git abc, changed", "x")
        )
        == 5
    )
    for each in (study, confirming, there):
        each.close()
