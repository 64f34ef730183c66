"""Confirming: the best trials and the control again with paired seeds, scored at their last epoch,
in a study of its own.
"""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from objectives.bundle.belief_in_one import Believed, Confirmed
from objectives.data.options import AS_THEY_ARE
from objectives.errors import UserError
from search.cli.actions.confirm import confirm, standing_json
from search.cli.commands.confirm import ConfirmOptions
from search.confirm.plan import cells, choose_candidates, plan, plan_of, write_plan
from search.confirm.standing import read_standing
from search.confirm.state import begin
from search.confirm.wanted import Asked
from search.export.best import ExportRequest, export_best
from search.export.winner import find_winner
from search.place import Place
from search.posterior.draws import FromTrial
from search.study.budget import current_budget
from search.study.names import LONGEST_NAME, confirm_name
from search.study.orders import extend_budget
from search.study.stored import Study, open_study
from search.trials import checkpoints
from search.worker.context import Orders, WorkerSettings
from search.worker.loop import run_worker

Maker = Callable[..., None]
EPOCHS = 4


@pytest.fixture
def searched(database: str, make_study: Maker) -> Study:
    """A study of five trials that were told their scores without training."""
    make_study(database, trials=5, sets=(f"train.epochs={EPOCHS}",), source="synthetic:120")
    study = open_study(database, "small")
    for score in (0.5, 0.7, 0.6, 0.9, 0.8):
        tell(study, score)
    return study


def tell(study: Study, score: float, seconds: float = 0.0) -> None:
    """End one more trial of the search with this score, after so many seconds of training."""
    trial = study.optuna.ask()
    config = study.space.draw(FromTrial(trial))
    assert config.train.epochs == EPOCHS
    for key, value in {"end_cause": "completed", "epochs": EPOCHS, "best_epoch": 2}.items():
        trial.set_user_attr(key, value)
    if seconds:
        trial.set_user_attr("train_seconds", seconds)
    study.optuna.tell(trial, score)


def end(confirming: Study, *ends: float | str) -> None:
    """End runs in the order of the plan, each with a score or the cause of its failure."""
    for told in ends:
        trial = confirming.optuna.ask()
        trial.set_user_attr("end_cause", "completed" if isinstance(told, float) else told)
        state = TrialState.COMPLETE if isinstance(told, float) else TrialState.FAIL
        confirming.optuna.tell(trial, told if isinstance(told, float) else None, state=state)


def test_the_best_and_the_control_are_chosen(searched: Study) -> None:
    assert [each.number for each in choose_candidates(searched, 2)] == [0, 3, 4]
    assert all(each.last_epoch == EPOCHS for each in choose_candidates(searched, 2))
    searched.close()


def test_how_long_it_trains_is_told_by_what_its_candidates_took(
    database: str, make_study: Maker
) -> None:
    make_study(database, trials=5, sets=(f"train.epochs={EPOCHS}",), source="synthetic:120")
    study = open_study(database, "small")
    for score, seconds in ((0.5, 60.0), (0.7, 90.0), (0.9, 120.0)):
        tell(study, score, seconds)
    lines = begin(study, database, Asked(top=1, seeds=3), again=False).lines
    assert lines == (
        "study 'small/confirm': trials 0, 2, each with 3 seeds, 6 runs",
        "about 9 min of training in all, by what its candidates' trials took; workers share it",
    )
    tell(study, 0.95)
    lines = begin(study, database, Asked(top=1), again=True).lines
    assert not any("of training" in line for line in lines), "trial 3 does not tell"
    study.close()


def test_runs_are_paired_and_the_first_seed_keeps_the_parts(searched: Study, database: str) -> None:
    spec = plan(searched, top=2, seeds=3, resplit=True)
    assert (spec.name, spec.trials) == ("small/confirm", 9)
    assert "9 runs" in write_plan(database, spec)
    assert "equal settings" in write_plan(database, spec)
    confirming = open_study(database, "small/confirm")
    runs = [confirming.run(number) for number in range(9)]
    assert len({run.seed for run in runs}) == 3
    assert [run.seed for run in runs[:3]] == [runs[0].seed] * 3
    assert {run.dealing for run in runs[:3]} == {AS_THEY_ARE}
    assert len({run.dealing for run in runs}) == 3
    told = [trial.user_attrs for trial in confirming.optuna.get_trials()]
    assert [(each["confirms"], each["seed"]) for each in told] == [
        (c, s) for s in range(3) for c in (0, 3, 4)
    ]
    assert all(trial.state == TrialState.WAITING for trial in confirming.optuna.get_trials())
    with pytest.raises(UserError, match="study 'small/confirm' confirms 'small': confirm that one"):
        plan(confirming, top=1, seeds=2, resplit=True)
    with pytest.raises(UserError, match="other settings"):
        write_plan(database, plan(searched, top=2, seeds=2, resplit=True))
    kept = plan(searched, top=2, seeds=3, resplit=False)
    assert plan_of(kept).resplit is False
    searched.close()
    confirming.close()


def test_candidates_are_trained_to_their_last_epoch_and_that_one_is_scored(
    searched: Study, database: str, tmp_path: Path
) -> None:
    write_plan(database, plan(searched, top=1, seeds=2, resplit=True))
    confirming = open_study(database, confirm_name("small"))
    run_worker(
        confirming,
        WorkerSettings(str(tmp_path / "artifacts"), tmp_path / "cache", device="cpu", threads=1),
        Orders(),
        print,
    )
    found = cells(confirming)
    assert [(cell.candidate, cell.seed, cell.cause) for cell in found] == [
        (candidate, seed, "completed") for seed in (0, 1) for candidate in (0, 3)
    ]
    trials = confirming.optuna.get_trials()
    assert len(trials) == 4
    for cell, trial in zip(found, trials, strict=True):
        assert list(trial.intermediate_values) == [1, 2, 3, 4]
        assert cell.score == trial.value == trial.intermediate_values[EPOCHS]
        assert trial.user_attrs["best_epoch"] == EPOCHS
        assert cell.score == pytest.approx(np.mean(list(cell.per_class.values())))
        pointers = checkpoints.pointers_of(confirming.engine, cell.trial_id)
        # all of them are kept
        assert (list(pointers), pointers["best"].epoch) == (["best"], EPOCHS)
    assert len({trial.value for trial in trials}) == 4
    searched.close()
    confirming.close()


@pytest.mark.long
def test_the_winner_is_the_confirmed_ones_run_with_the_first_seed(
    searched: Study, database: str, tmp_path: Path
) -> None:
    write_plan(database, plan(searched, top=1, seeds=2, resplit=False))
    confirming = open_study(database, confirm_name("small"))
    unconfirmed = find_winner(searched, database)
    assert (unconfirmed.study, unconfirmed.number, unconfirmed.score) == (searched, 3, 0.9)
    assert isinstance(unconfirmed.belief, Believed)
    assert unconfirmed.belief.mean < 0.9
    place = Place(database, str(tmp_path / "artifacts"), tmp_path / "cache")
    run_worker(
        confirming,
        WorkerSettings(place.artifacts, place.cache, device="cpu", threads=1),
        Orders(),
        print,
    )
    found = cells(confirming)
    tell(searched, 0.95)  # by now it would be confirmed, too
    winner = find_winner(searched, database)
    runs = [cell for cell in found if cell.candidate == winner.number]
    assert winner.trial_id == runs[0].trial_id  # not the better of the two
    assert runs[0].seed == 0
    means = {
        number: np.mean([cell.score for cell in found if cell.candidate == number])
        for number in (0, 3)
    }
    assert isinstance(winner.belief, Confirmed)
    assert winner.belief.mean == pytest.approx(means[winner.number])
    provenance = export_best(searched, place, tmp_path / "out", ExportRequest(test=False))
    assert (provenance.trial, provenance.validation.score) == (winner.number, runs[0].score)
    assert provenance.seed == confirming.run(winner.run_number).seed
    assert provenance.belief == winner.belief
    card = (tmp_path / "out" / "README.md").read_text()
    assert "Trained again with 2 seed(s)" in card
    (stale,) = provenance.confirmation
    assert stale.startswith("Trials that would be candidates by now are not confirmed: 5 (0.9500)")
    assert f"When it was exported: {stale}" in card
    with pytest.raises(UserError, match="study 'small/confirm' confirms 'small': export that one"):
        export_best(confirming, place, tmp_path / "confirming")
    winner.study.close()
    searched.close()
    confirming.close()


def test_nothing_to_confirm_is_an_error(small_study: Study) -> None:
    with pytest.raises(UserError, match="no complete trial"):
        plan(small_study, top=1, seeds=2, resplit=True)


def test_json_plans_and_writes_nothing(
    searched: Study, database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    confirm(ConfirmOptions(study="small", storage=database, workers=0, as_json=True))
    found = json.loads(capsys.readouterr().out)
    assert (found["study"], found["state"], found["choice"], found["candidates"]) == (
        None,
        "none",
        None,
        [],
    )
    assert names(searched) == ["small"]
    write_plan(database, plan(searched, top=1, seeds=2, resplit=True))
    confirm(ConfirmOptions(study="small", storage=database, workers=0, as_json=True))
    found = json.loads(capsys.readouterr().out)
    assert (found["study"], found["state"], found["missing_runs"]) == (
        "small/confirm",
        "planned",
        4,
    )
    searched.close()


def test_the_same_command_goes_on_whatever_the_search_has_found(
    searched: Study, database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = {"study": "small", "top": 2, "seeds": 2, "storage": database, "workers": 0}
    confirm(ConfirmOptions(**words))
    tell(searched, 0.99)
    confirm(ConfirmOptions(**words))
    assert "trials 0, 3, 4, each with 2 seeds" in (said := capsys.readouterr().out)
    assert "study 'small/confirm' goes on" in said
    assert "are not confirmed: 5 (0.9900)" in said
    with pytest.raises(
        UserError,
        match="--seeds is 2 there, 3 wanted; `search confirm --study small` goes on with it",
    ):
        confirm(ConfirmOptions(**words | {"seeds": 3}))
    confirm(ConfirmOptions(study="small", again=True, storage=database, workers=0))
    assert "'small/confirm-2': trials 0, 5, 3, each with 2 seeds" in capsys.readouterr().out
    assert names(searched) == ["small", "small/confirm", "small/confirm-2"]
    searched.close()


def test_no_candidate_wins_by_being_first(searched: Study, database: str) -> None:
    write_plan(database, plan(searched, top=2, seeds=2, resplit=True))
    confirming = open_study(database, "small/confirm")
    end(confirming, 0.5)  # the control's first seed
    winner = find_winner(searched, database)
    assert (winner.study, winner.number) == (searched, 3)
    assert winner.remarks == (
        "Study 'small/confirm' chooses no trial yet: 2 of 3 candidates have not ended their run "
        "with the first seed.",
    )
    end(confirming, 0.6, 0.7)
    winner = find_winner(searched, database)
    assert (winner.study.spec.name, winner.number) == ("small/confirm", 4)
    assert winner.remarks == ("3 of the 6 runs of study 'small/confirm' have no score yet.",)
    for study in (winner.study, searched, confirming):
        study.close()


def test_confirm_and_export_choose_alike_where_a_first_seed_failed(
    searched: Study, database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    confirm(ConfirmOptions(study="small", top=2, seeds=2, storage=database, workers=0))
    confirming = open_study(database, "small/confirm")
    end(confirming, 0.5, "crashed", 0.6, 0.5, 0.9, 0.6)  # trial 3 leads by its second seed alone
    capsys.readouterr()
    confirm(ConfirmOptions(study="small", top=2, seeds=2, storage=database, workers=0))
    said = capsys.readouterr().out
    winner = find_winner(searched, database)
    assert f"choice: trial {winner.number}" in said
    assert winner.number == 4
    for study in (winner.study, searched, confirming):
        study.close()


def test_what_failed_is_trained_again_with_its_seed(
    searched: Study, database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    begin(searched, database, Asked(top=2, seeds=2, resplit=True), again=False)
    confirming = open_study(database, "small/confirm")
    end(confirming, 0.5, "crashed", "diverged", 0.5, 0.9, 0.6)
    lines = begin(searched, database, Asked(), again=False).lines
    assert lines == (
        "study 'small/confirm' goes on",
        "1 run(s) without a score are trained again: trial 3, seed 0",
    )
    assert begin(searched, database, Asked(), again=False).lines == lines[:1]  # it waits already
    (repeated,) = confirming.optuna.get_trials(states=[TrialState.WAITING])
    assert confirming.run(repeated.number) == confirming.run(1)
    assert repeated.system_attrs["fixed_params"] == dict(searched.optuna.trials[3].params)
    budget = current_budget(confirming)
    assert (budget.total, budget.trials, budget.fixed) == (7, 7, True)
    end(confirming, 0.8)
    winner = find_winner(searched, database)
    assert (winner.number, winner.run_number, winner.score) == (3, repeated.number, 0.8)
    assert begin(searched, database, Asked(), again=False).lines == (
        "study 'small/confirm' has ended: nothing is left to train",
    )
    for study in (winner.study, searched, confirming):
        study.close()


def test_names_leave_room_for_what_is_derived_from_them(database: str, make_study: Maker) -> None:
    long = "m" * 190
    with pytest.raises(
        UserError,
        match="--study must leave room for the studies that confirm and retrain it: at most 174",
    ):
        make_study(database, trials=2, name=long)
    make_study(database, trials=2, name="m" * 174)
    assert len(confirm_name("m" * 174, 999)) + len("/retrain-99999") == LONGEST_NAME
    with pytest.raises(
        UserError, match=r"a name of 211 characters where 200 are possible.*search migrate"
    ):
        confirm_name("m" * 200, 10)


def test_a_study_that_took_the_name_of_another_is_not_confirmed_by_its_confirmation(
    searched: Study, database: str, make_study: Maker
) -> None:
    begin(searched, database, Asked(top=1, seeds=1), again=False)
    confirming = open_study(database, "small/confirm")
    end(confirming, 0.5, 0.6)
    optuna.delete_study(study_name="small", storage=searched.storage)
    searched.close()
    make_study(database, trials=5, sets=(f"train.epochs={EPOCHS}",))
    another = open_study(database, "small")
    tell(another, 0.3)
    assert find_winner(another, database).study is another
    assert begin(another, database, Asked(), again=False).name == "small/confirm-2"
    for study in (another, confirming):
        study.close()


def test_a_confirmation_cannot_be_extended(searched: Study, database: str) -> None:
    begin(searched, database, Asked(top=1, seeds=1), again=False)
    confirming = open_study(database, "small/confirm")
    with pytest.raises(
        UserError, match="and no more: `search confirm --study small --again` plans anew"
    ):
        extend_budget(confirming, trials=1, gpu_s=0.0, until_s=0.0)
    for study in (searched, confirming):
        study.close()


def names(study: Study) -> list[str]:
    """All studies of its database."""
    return sorted(each.study_name for each in study.storage.get_all_studies())


def test_a_verdict_stands_though_its_search_was_deleted_meanwhile(
    searched: Study, database: str
) -> None:
    begun = begin(searched, database, Asked(1, 1), again=False)
    confirming = open_study(database, begun.name)
    end(confirming, 0.5, 0.6)
    confirming.close()
    optuna.delete_study(study_name="small", storage=searched.storage)
    standing = read_standing(searched, database)
    assert standing
    assert (standing.state, standing.better) == ("ended", ())
    assert standing.choice
    assert standing.choice.candidate == 3


def test_an_interval_of_shares_stays_within_them(searched: Study, database: str) -> None:
    begun = begin(searched, database, Asked(1, 2), again=False)
    confirming = open_study(database, begun.name)
    end(confirming, 0.1, 0.9, 0.9, 0.2)
    confirming.close()
    told = standing_json(read_standing(searched, database))
    bounds = [each["interval"] for each in [*told["candidates"], told["choice"]]]
    assert [0.0, 1.0] in bounds
    assert all(0.0 <= low < high <= 1.0 for low, high in bounds)
