"""Confirming: the best trials and the control again with paired seeds, scored at their last epoch, in a study of its own."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from optuna.trial import TrialState

from objectives.belief import Confirmed, Unconfirmed
from objectives.errors import UserError
from search import checkpoints
from search.commands.options import Place
from search.confirm import cells, choose_candidates, confirm_name, plan, write_plan
from search.draws import FromTrial
from search.export import export_best
from search.study import Study, open_study
from search.winner import find_winner
from search.worker import Orders, Settings
from search.worker_loop import run_worker

Maker = Callable[..., None]
EPOCHS = 4


@pytest.fixture
def searched(database: str, make_study: Maker) -> Study:
    """A study of five trials that were told their scores without training."""
    make_study(database, trials=5, sets=(f"train.epochs={EPOCHS}",), source="synthetic:120")
    study = open_study(database, "small")
    for score in (0.5, 0.7, 0.6, 0.9, 0.8):
        trial = study.optuna.ask()
        config = study.space.draw(FromTrial(trial))
        assert config.train.epochs == EPOCHS
        for key, value in {"end_cause": "completed", "epochs": EPOCHS, "best_epoch": 2}.items():
            trial.set_user_attr(key, value)
        study.optuna.tell(trial, score)
    return study


def test_the_best_and_the_control_are_chosen(searched: Study) -> None:
    assert [each.number for each in choose_candidates(searched, 2)] == [0, 3, 4]
    assert all(each.last_epoch == EPOCHS for each in choose_candidates(searched, 2))
    searched.close()


def test_runs_are_paired_and_the_first_seed_keeps_the_parts(searched: Study, database: str) -> None:
    spec = plan(searched, top=2, seeds=3, resplit=True)
    assert (spec.name, spec.trials) == ("small/confirm", 9)
    assert "9 runs" in write_plan(database, spec)
    assert "equal settings" in write_plan(database, spec)
    confirming = open_study(database, "small/confirm")
    runs = [confirming.run(number) for number in range(9)]
    assert len({run.seed for run in runs}) == 3
    assert [run.seed for run in runs[:3]] == [runs[0].seed] * 3
    assert {run.split_seed for run in runs[:3]} == {0}
    assert len({run.split_seed for run in runs}) == 3
    assert {confirming.run(n).split_seed for n in range(9)} != {0}
    told = [trial.user_attrs for trial in confirming.optuna.get_trials()]
    assert [(each["confirms"], each["seed"]) for each in told] == [(c, s) for s in range(3) for c in (0, 3, 4)]
    assert all(trial.state == TrialState.WAITING for trial in confirming.optuna.get_trials())
    with pytest.raises(UserError, match="confirms 'small' itself"):
        plan(confirming, top=1, seeds=2, resplit=True)
    with pytest.raises(UserError, match="other settings"):
        write_plan(database, plan(searched, top=2, seeds=2, resplit=True))
    kept = plan(searched, top=2, seeds=3, resplit=False)
    assert kept.confirm.resplit is False
    searched.close()
    confirming.close()


def test_candidates_are_trained_to_their_last_epoch_and_that_one_is_scored(
    searched: Study, database: str, tmp_path: Path
) -> None:
    write_plan(database, plan(searched, top=1, seeds=2, resplit=True))
    confirming = open_study(database, confirm_name("small"))
    run_worker(confirming, Settings(str(tmp_path / "artifacts"), tmp_path / "cache", device="cpu", threads=1), Orders(), print)
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
        assert (list(pointers), pointers["best"].epoch) == (["best"], EPOCHS)  # all of them are kept
    assert len({trial.value for trial in trials}) == 4
    searched.close()
    confirming.close()


def test_the_winner_is_the_confirmed_ones_run_with_the_first_seed(searched: Study, database: str, tmp_path: Path) -> None:
    write_plan(database, plan(searched, top=1, seeds=2, resplit=False))
    confirming = open_study(database, confirm_name("small"))
    unconfirmed = find_winner(searched, database)
    assert (unconfirmed.study, unconfirmed.number, unconfirmed.score) == (searched, 3, 0.9)
    assert isinstance(unconfirmed.belief, Unconfirmed)  # too few epochs to tell how optimistic it is
    place = Place(database, str(tmp_path / "artifacts"), tmp_path / "cache")
    run_worker(confirming, Settings(place.artifacts, place.cache, device="cpu", threads=1), Orders(), print)
    found = cells(confirming)
    winner = find_winner(searched, database)
    runs = [cell for cell in found if cell.candidate == winner.number]
    assert winner.trial_id == runs[0].trial_id  # not the better of the two
    assert runs[0].seed == 0
    means = {number: np.mean([cell.score for cell in found if cell.candidate == number]) for number in (0, 3)}
    assert isinstance(winner.belief, Confirmed)
    assert winner.belief.mean == pytest.approx(means[winner.number])
    provenance = export_best(searched, place, tmp_path / "out", test=False)
    assert (provenance.trial, provenance.validation.score) == (winner.number, runs[0].score)
    assert provenance.seed == confirming.run(winner.run_number).seed
    assert provenance.belief == winner.belief
    assert "Trained again with 2 seed(s)" in (tmp_path / "out" / "README.md").read_text()
    with pytest.raises(UserError, match="study 'small/confirm' confirms 'small': export that one"):
        export_best(confirming, place, tmp_path / "confirming")
    winner.study.close()
    searched.close()
    confirming.close()


def test_nothing_to_confirm_is_an_error(small_study: Study) -> None:
    with pytest.raises(UserError, match="no complete trial"):
        plan(small_study, top=1, seeds=2, resplit=True)
