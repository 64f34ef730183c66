"""What is drawn for a claimed trial: what Optuna would draw from the same history, written whole."""

import random
import threading
from collections.abc import Callable
from typing import Any

import optuna
import psycopg2
import pytest
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import text

from search.database.connections import LeaseLostError
from search.posterior.draws import FromTrial
from search.process.messages import Cause
from search.study.record import Notes
from search.study.sampling import build_sampler, first_trials, startup_trials
from search.study.stored import Study, open_study
from search.trials import leases
from search.trials.claims import Claimed, claim
from search.trials.drawing import draw
from search.trials.writing import write_notes
from search.worker.patience import Patience
from spaces import load_space

LEARNT = (TrialState.RUNNING, TrialState.COMPLETE, TrialState.PRUNED)


@pytest.fixture
def study(small_study: Study) -> Study:
    """A study with room for many trials."""
    with small_study.engine.begin() as connection:
        connection.execute(text("UPDATE search_study SET trials = 40"))
    return small_study


def take(study: Study, owner: str) -> leases.Lease:
    claimed = claim(study, owner, threads=1)
    assert isinstance(claimed, Claimed)
    return claimed.lease


def end(study: Study, lease: leases.Lease, dice: random.Random) -> None:
    """End a trial in one of the ways in which trials end."""
    trial = study.trial(lease.trial_id)
    state = dice.choice(
        (TrialState.COMPLETE, TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
    )
    for epoch in range(1, dice.randint(2, 4)):
        trial.report(dice.random(), epoch)
    if state == TrialState.PRUNED and dice.random() < 0.5:
        trial.set_constraint(Cause.INFEASIBLE.value, 1.0)
    if state == TrialState.FAIL and dice.random() < 0.5:
        write_notes(study.engine, lease, Notes(cause=Cause.DIVERGED.value))
    study.optuna.tell(trial, dice.random() if state == TrialState.COMPLETE else None, state=state)
    leases.release(study.engine, lease)


def plainly(study: Study, number: int) -> dict[str, object]:
    """The parameters that Optuna itself draws for a trial, in its memory; again where it has drawn
    them before.
    """
    trials = study.optuna.get_trials()
    for trial in trials[:number]:
        if trial.state == TrialState.FAIL and Notes.of(trial).cause != Cause.DIVERGED:
            trial.params = {}  # whatever its end was, it says nothing of its config
            trial.distributions = {}
    fixed = trials[number].system_attrs.get("fixed_params", {})
    for again in range(9):
        sampler = build_sampler(study.spec, study.ground, number, again)
        plain = optuna.create_study(direction="maximize", sampler=sampler)
        for trial in trials[:number]:
            plain.add_trial(trial)
        plain.enqueue_trial(fixed)
        asked = plain.ask()
        assert asked.number == number
        study.space.draw(FromTrial(asked))
        if asked.params == fixed or asked.params not in [each.params for each in trials[:number]]:
            break
    return asked.params


def test_a_draw_is_what_optuna_draws_from_the_same_history(study: Study) -> None:
    draw_and_compare(study)
    assert startup_trials(study.spec) < 10  # beyond which the sampler learns


def test_the_model_draws_from_the_same_history(
    database: str, make_study: Callable[..., None]
) -> None:
    """What Optuna draws with all curves in its memory, by the same sampler; and what it expects."""
    make_study(database, trials=40, sets=("sampler=model",))
    study = open_study(database, "small")
    draw_and_compare(study)
    notes = [Notes.of(trial) for trial in study.optuna.get_trials()]
    expected = [each.expected for each in notes]
    begun = len(first_trials(study.spec))
    assert begun < 24
    assert not any(expected[:begun]), "what was enqueued nobody has proposed"
    assert all(expected[18:24])
    assert all(each.by and each.sd > 0 for each in expected if each)
    study.close()


@pytest.mark.long
@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_other_samplers_expect_nothing(
    sampler: str, database: str, make_study: Callable[..., None]
) -> None:
    make_study(database, trials=8, sets=(f"sampler={sampler}",))
    study = open_study(database, "small")
    for number in range(6):
        lease = take(study, f"w{number}")
        assert draw(study, lease).trial.params == plainly(study, number)
        end(study, lease, random.Random(number))
    assert not any(Notes.of(trial).expected for trial in study.optuna.get_trials())
    study.close()


@pytest.mark.parametrize("sampler", ["tpe", "random", "model"])
def test_no_config_is_trained_twice_while_others_are_left(
    sampler: str, database: str, make_study: Callable[..., None]
) -> None:
    """Of four configs each is drawn once, the control's neighbours included; then some are again."""
    varied = ("model.block={choice: [plain, residual]}", "model.depth={int: [2, 3]}")
    make_study(database, trials=5, sets=(f"sampler={sampler}", *fixed_but_for(*varied)))
    study = open_study(database, "small")
    drawn = []
    for number in range(5):
        lease = take(study, f"w{number}")
        drawn.append(draw(study, lease).trial.params)
        study.optuna.tell(study.trial(lease.trial_id), 0.5)
    assert len({tuple(params.items()) for params in drawn[:4]}) == 4
    assert drawn[4] in drawn[:4]
    study.close()


def fixed_but_for(*varied: str) -> list[str]:
    """What of ``tiny`` is to be fixed so that these fields alone vary."""
    free = {each.partition("=")[0] for each in varied}
    control = load_space("tiny").control
    fixed = [name for name in control if name not in free and not name.endswith((".on", ".weight"))]
    sets = ["steps=[]", "loss.dice=0.0", "loss.cross_entropy=1.0"]
    return [*sets, *(f"{name}={control[name]}" for name in fixed), *varied]


def draw_and_compare(study: Study) -> None:
    """Draw the configs of 24 trials, of which some end, and compare each with what Optuna draws."""
    dice = random.Random(0)
    at_work: list[leases.Lease] = []
    for number in range(24):
        lease = take(study, f"w{number}")
        config = draw(study, lease).config
        trial = study.storage.get_trial(lease.trial_id)
        assert trial.number == number
        assert trial.params == plainly(study, number)
        assert draw(study, lease).config == config  # and again, as it is stored by now
        at_work.append(lease)
        if len(at_work) > 3:
            end(study, at_work.pop(dice.randrange(len(at_work))), dice)


@pytest.mark.long
@pytest.mark.parametrize("committed", [True, False], ids=["its answer", "its write"])
def test_a_draw_that_lost_its_answer_or_its_write_is_repeated(
    committed: bool, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither is written twice, and none is trained without parameters."""
    for number in range(12):  # beyond the control, which needs no draw, and the start-up
        lease = take(study, f"w{number}")
        draw(study, lease)
        end(study, lease, random.Random(number))
    lease = take(study, "unlucky")
    commit = study.engine.dialect.do_commit
    lost = []

    def lose(connection: Any) -> None:
        if lost:
            commit(connection)
            return
        lost.append(True)
        if committed:
            commit(connection)
        raise psycopg2.OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(study.engine.dialect, "do_commit", lose)
    said: list[str] = []
    drawn = Patience(threading.Event(), said.append)(lambda: draw(study, lease))
    assert len(said) == len(lost) == 1
    stored = study.storage.get_trial(lease.trial_id)
    assert stored.params == drawn.trial.params
    assert stored.params
    assert draw(study, lease).config == drawn.config


def known(trial: FrozenTrial) -> tuple[object, ...]:
    return (
        trial.number,
        trial.state,
        trial.value if trial.state == TrialState.COMPLETE else None,
        trial.params,
        trial.distributions,
        trial.constraints,
        trial.intermediate_values,
    )


def is_learnt(trial: FrozenTrial) -> bool:
    return trial.state in LEARNT or Notes.of(trial).cause == Cause.DIVERGED


def test_the_history_is_what_optuna_reads_however_often_it_is_read(study: Study) -> None:
    dice = random.Random(1)
    at_work = []
    for number in range(16):
        lease = take(study, f"w{number}")
        if dice.random() < 0.8:  # others wait for their parameters
            draw(study, lease)
        at_work.append(lease)
        while len(at_work) > 2:
            end(study, at_work.pop(dice.randrange(len(at_work))), dice)
        with study.engine.connect() as connection:
            read = study.history.read(connection)
        theirs = [each for each in study.optuna.get_trials(deepcopy=False) if is_learnt(each)]
        assert [known(each) for each in read] == [known(each) for each in theirs]


def test_whoever_lost_the_lease_writes_neither_parameters_nor_notes(study: Study) -> None:
    old = take(study, "a")
    leases.release(study.engine, old)
    new = take(study, "b")
    assert new.trial_id == old.trial_id
    with pytest.raises(LeaseLostError):
        draw(study, old)
    with pytest.raises(LeaseLostError):
        write_notes(study.engine, old, Notes(parameters=1))
    trial = study.storage.get_trial(old.trial_id)
    assert (trial.params, trial.user_attrs.get("parameters")) == ({}, None)


def test_nothing_is_written_for_a_trial_that_somebody_ended(study: Study) -> None:
    lease = take(study, "a")
    study.storage.set_trial_state_values(lease.trial_id, TrialState.FAIL)
    with pytest.raises(optuna.exceptions.UpdateFinishedTrialError):
        draw(study, lease)
    with pytest.raises(optuna.exceptions.UpdateFinishedTrialError):
        write_notes(study.engine, lease, Notes(parameters=1))
    assert "parameters" not in study.storage.get_trial(lease.trial_id).user_attrs


def test_notes_are_replaced_and_the_others_stay(study: Study) -> None:
    lease = take(study, "a")
    write_notes(study.engine, lease, Notes(parameters=1, device="cpu"))
    write_notes(study.engine, lease, Notes(parameters=2, message="two\nlines"))
    notes = Notes.of(study.storage.get_trial(lease.trial_id))
    assert (notes.parameters, notes.device, notes.message) == (2, "cpu", "two\nlines")
    assert notes.recipe == "control"
