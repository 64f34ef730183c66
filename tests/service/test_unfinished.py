"""What a limit cuts is unfinished: to nobody a result, to its user a model, and it goes on once the
limit is lifted.
"""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from optuna.trial import TrialState
from sqlalchemy import text

from search.export.best import ExportRequest, export_best
from search.export.member_runs import member_runs
from search.export.winner import find_winner
from search.place import Place
from search.process.parent import preload
from search.process.saver import FIRST_S
from search.report.reading import read_study
from search.report.recipe_table import measure
from search.study.budget import Order
from search.study.migrate import Wish, migrate_study
from search.study.orders import extend_budget, give_order
from search.study.status import read_status
from search.study.stored import Study, open_study
from search.study.trial_lines import read_trials
from search.study.unfinished import read_unfinished
from search.worker.context import Orders, WorkerSettings
from search.worker.loop import run_worker
from tests.support.waiting import wait_for

Maker = Callable[..., None]
EPOCHS = 60
LONG = (f"train.epochs={EPOCHS}", "train.steps_per_epoch=1")


@pytest.fixture
def place(database: str, tmp_path: Path) -> Place:
    preload()  # by the main thread, with which it ends: a worker is a thread here
    return Place(database, str(tmp_path / "artifacts"), tmp_path / "cache")


def work(study: Study, place: Place, meanwhile: Callable[[], None] = lambda: None) -> list[str]:
    """Run a worker until it leaves by itself; returns what it said."""
    said: list[str] = []
    settings = WorkerSettings(place.artifacts, place.cache, device="cpu", threads=1)
    orders = Orders()
    worker = threading.Thread(
        target=run_worker, args=(study, settings, orders, said.append), daemon=True
    )
    worker.start()
    try:
        meanwhile()
        worker.join(240.0)
        assert not worker.is_alive(), said
    finally:
        orders.stop.set()
        orders.leave.set()
        worker.join(30.0)
    return said


def stopped_at(study: Study, epochs: int) -> Callable[[], None]:
    def stop() -> None:
        wait_for(lambda: any(line.epochs >= epochs for line in read_trials(study)), 120.0)
        give_order(study, Order.STOPPED)

    return stop


@pytest.mark.long
def test_a_stopped_study_is_exported_as_it_stands_and_goes_on_to_the_same_end(
    place: Place, make_database: Callable[[], str], make_study: Maker, tmp_path: Path
) -> None:
    make_study(place.storage, trials=2, sets=LONG)
    study = open_study(place.storage, "small")
    said = work(study, place, stopped_at(study, 3))
    assert said[-1] == "trial 0 is left where it stands: stopped by hand"

    (cut,) = read_unfinished(study)
    (control,) = study.optuna.get_trials()
    assert control.state == TrialState.RUNNING
    assert cut.score == max(control.intermediate_values.values())
    assert len(control.intermediate_values) < EPOCHS
    status = read_status(study)
    assert (status.budget.over, status.budget.unfinished) == (True, 1)
    assert (
        status.standing == "over: stopped by hand, 1 trial(s) unfinished; `search resume` goes on"
    )
    assert status.best
    assert (status.best.number, status.best.score, status.best.unfinished) == (0, cut.score, True)

    record = read_study(study)
    assert record.best is record.trials[0]
    assert (record.trials[0].state, record.of("complete"), record.is_over) == (
        "interrupted",
        (),
        True,
    )
    # a control that is cut is nothing to compare with
    assert record.control_score != record.control_score

    assert [(each.number, each.state, each.score) for each in measure(study)] == [
        (0, "unfinished", cut.score)
    ]
    told = export_best(study, place, tmp_path / "model")
    assert (told.trial, told.trials, told.validation.score) == (0, 1, cut.score)
    epochs = len(control.intermediate_values)
    remark = (
        f"Trial 0 is unfinished: cut after {epochs} of up to {EPOCHS} epochs, it goes on "
        f"when "
        f"its study does."
    )
    assert told.confirmation == (remark,)
    card = (tmp_path / "model" / "README.md").read_text()
    assert remark in card
    assert "No other trial has a score" in card
    assert export_best(study, place, tmp_path / "named", ExportRequest(trial=0)).confirmation == (
        remark,
    )

    give_order(study, Order.RUNNING)
    said = work(study, place)
    assert f"trial 0 goes on after epoch {epochs}" in said
    whole = study.optuna.get_trials()[0]
    assert (whole.state, whole.user_attrs["end_cause"]) == (TrialState.COMPLETE, "completed")
    assert not read_unfinished(study)
    assert find_winner(study, place.storage).remarks == ()
    study.close()

    elsewhere = make_database()
    make_study(elsewhere, trials=1, sets=LONG)
    uncut = open_study(elsewhere, "small")
    work(uncut, Place(elsewhere, place.artifacts, place.cache))
    assert uncut.optuna.get_trials()[0].intermediate_values == whole.intermediate_values
    uncut.close()


@pytest.mark.long
@pytest.mark.parametrize("limit", ["hours", "deadline"])
def test_a_limit_leaves_trials_as_they_are_and_more_of_it_goes_on_with_them(
    limit: str, place: Place, make_study: Maker
) -> None:
    limits = {"hours": {"gpu_s": 1.5}, "deadline": {"until_s": 4.0}}[limit]
    make_study(
        place.storage, trials=3, sets=("train.epochs=4000", "train.steps_per_epoch=1"), **limits
    )
    study = open_study(place.storage, "small")
    said = work(study, place)
    assert sum(line.startswith("trial 0 is left where it stands: its ") for line in said) == 1
    assert [cut.number for cut in read_unfinished(study)] == [0]
    before = study.optuna.get_trials()[0]
    assert read_status(study).budget.limit().value == limit
    # limits are looked at while it trains, not when it saves
    assert before.user_attrs["train_seconds"] < FIRST_S
    more = {"gpu_s": 0.0, "until_s": 0.0} | dict.fromkeys(limits, 3600.0)
    extend_budget(study, trials=0, **more)
    assert read_unfinished(study) == []  # it is not to be had while it may go on
    said = work(study, place, stopped_at(study, len(before.intermediate_values) + 2))
    assert f"trial 0 goes on after epoch {len(before.intermediate_values)}" in said
    (again,) = read_unfinished(study)
    after = study.optuna.get_trials()[0]
    assert len(after.intermediate_values) > len(before.intermediate_values)
    assert (again.number, again.score) == (0, max(after.intermediate_values.values()))
    study.close()


def test_what_is_unfinished_is_no_member_of_a_statistic_and_one_of_an_ensemble(
    place: Place, make_study: Maker
) -> None:
    make_study(place.storage, trials=2, sets=("train.epochs=2", "train.early_stopping=0"))
    study = open_study(place.storage, "small")
    work(study, place)
    extend_budget(study, trials=1, gpu_s=0.0, until_s=0.0)
    # as if the worker of a long trial had left it at a limit
    with study.engine.begin() as connection:
        one = study.optuna.get_trials()[1]._trial_id
        connection.execute(
            text("UPDATE trials SET state = 'RUNNING' WHERE trial_id = :one"), {"one": one}
        )
        connection.execute(text("DELETE FROM trial_values WHERE trial_id = :one"), {"one": one})
    study = open_study(place.storage, "small")
    give_order(study, Order.STOPPED)
    (cut,) = read_unfinished(study)
    assert cut.number == 1
    assert sorted(member_runs(study)) == sorted(
        trial._trial_id for trial in study.optuna.get_trials()[:2]
    )
    assert "1: not ended yet" in " ".join(
        migrate_study(study, Wish("next", "tiny", 2, ("train.epochs=2",)), place)
    )
    with study.engine.begin() as connection:  # it went on since, and its worker died without a word
        connection.execute(
            text("UPDATE search_checkpoint SET epoch = 99 WHERE trial_id = :one"), {"one": one}
        )
    assert read_unfinished(study) == []
    study.close()
