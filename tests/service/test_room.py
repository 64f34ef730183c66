"""Nothing is begun that cannot end: by what a study's trainings have taken, within its deadline and
its hours.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from optuna.trial import TrialState

from search.study.budget import current_budget, is_over
from search.study.orders import extend_budget
from search.study.record import Notes
from search.study.status import read_status
from search.study.stored import Study, open_study
from search.study.trainings import Trainings
from search.trials import leases
from search.trials.claims import Claimed, Done, Waiting, claim
from search.trials.writing import write_notes
from tests.support.taken_trials import begun, change, end, take

Maker = Callable[..., None]
HOUR = 3600.0


@pytest.fixture
def timed(database: str, make_study: Maker) -> Iterator[Study]:
    """A study of 20 trials with an hour from its first claim on, and two hours on devices."""
    make_study(database, trials=20, until_s=HOUR, gpu_s=2 * HOUR)
    study = open_study(database, "small")
    yield study
    study.close()


def test_before_a_training_has_ended_nothing_is_known_and_all_may_begin(timed: Study) -> None:
    take(timed, "a")
    begun(timed, 59.9)
    take(timed, "b")


def test_no_trial_begins_that_would_end_after_the_deadline(timed: Study) -> None:
    first = take(timed, "a")
    end(timed, first, 12 * 60.0)
    begun(timed, 47)
    second = take(timed, "a")
    end(timed, second, 12 * 60.0)
    begun(timed, 53)
    why = "nothing more is begun: a training takes about 12 min, 7 min are left"
    # neither one that waits in the study's first trials, nor a new one
    assert claim(timed, "a", threads=1, device="CPU") == Done(why)
    assert is_over(timed)
    status = read_status(timed)
    assert status.standing == f"over: {why}; `search extend --until 1h` gives it more"
    assert status.as_json()["over"]
    assert not status.halted
    extended = extend_budget(timed, trials=0, gpu_s=0.0, until_s=60.0)
    assert "; nothing more is begun: a training takes about 12 min, 8 min are left" in extended
    extend_budget(timed, trials=0, gpu_s=0.0, until_s=HOUR)
    assert not is_over(timed)
    take(timed, "a")


def test_time_is_added_to_a_deadline_ahead_and_counts_from_now_where_it_is_over(
    timed: Study,
) -> None:
    take(timed, "a")
    begun(timed, 30)
    assert "; another limit" not in extend_budget(timed, trials=0, gpu_s=0.0, until_s=HOUR)
    assert current_budget(timed).until_s == 2 * HOUR
    begun(timed, 60 * 60)  # minutes
    assert current_budget(timed).closed()
    extended = extend_budget(timed, trials=0, gpu_s=0.0, until_s=HOUR)
    assert "61 h from the first trial on (60.00 gone)" in extended
    assert "closed" not in extended
    assert current_budget(timed).left_s == pytest.approx(HOUR, abs=60)
    take(timed, "b")
    extend_budget(timed, trials=5, gpu_s=0.0, until_s=0.0)
    assert current_budget(timed).left_s == pytest.approx(HOUR, abs=60)


def test_what_was_begun_goes_on_whatever_is_left(timed: Study) -> None:
    end(timed, take(timed, "a"), 12 * 60.0)
    lost = take(timed, "b")
    begun(timed, 59)
    waits = claim(timed, "a", threads=1, device="CPU")
    assert isinstance(waits, Waiting)  # it may be lost
    assert waits.why
    assert not is_over(timed)
    assert read_status(timed).standing.startswith("ends, 1 trial(s) to end: nothing more is begun")
    leases.release(timed.engine, lost)
    assert take(timed, "a").trial_id == lost.trial_id


def test_hours_are_kept_for_what_is_at_hand(timed: Study) -> None:
    """Of two hours 30 minutes are spent, one trial at hand will take 30: there is room for two."""
    change(timed, "UPDATE search_study SET until_s = 0")
    end(timed, take(timed, "a"), HOUR / 2)
    take(timed, "b")
    assert current_budget(timed).room == 2
    take(timed, "c")
    assert current_budget(timed).room == 1
    take(timed, "d")
    waits = claim(timed, "a", threads=1, device="CPU")
    assert isinstance(waits, Waiting)
    assert waits.why.startswith("nothing more is begun: a training takes about 30 min, 0 s on dev")
    assert "--gpu-hours" in read_status(timed).standing


@pytest.mark.parametrize("waiting", [True, False])
def test_claims_at_one_moment_share_what_room_there_is(
    database: str, timed: Study, monkeypatch: pytest.MonkeyPatch, *, waiting: bool
) -> None:
    """Eight look while there is room for three; none has been taken when the last looks."""
    change(timed, "UPDATE search_study SET until_s = 0")
    end(timed, take(timed, "a"), HOUR / 2)
    if not waiting:
        change(
            timed,
            "UPDATE trials SET state = 'PRUNED', datetime_complete = now() WHERE state = 'WAITING'",
        )
    studies = [open_study(database, "small") for _ in range(8)]
    together = threading.Barrier(8)
    for study in studies:
        execute = study.engine.dialect.do_execute

        def late(cursor: object, statement: str, *rest: object, execute=execute) -> None:  # type: ignore[no-untyped-def]
            if "INSERT INTO search_lease" in statement:
                together.wait(20)
            execute(cursor, statement, *rest)

        monkeypatch.setattr(study.engine.dialect, "do_execute", late)
    with ThreadPoolExecutor(8) as pool:
        claims = list(
            pool.map(
                lambda at: claim(at[1], f"w{at[0]}", threads=1, device="CPU"), enumerate(studies)
            )
        )
    assert sum(isinstance(each, Claimed) for each in claims) == 3
    for study in studies:
        study.close()


def test_a_slow_device_leaves_what_a_quick_one_can_still_end(timed: Study) -> None:
    end(timed, take(timed, "slow"), 12 * 60.0)
    end(timed, take(timed, "quick", "H200"), 60.0, "H200")
    begun(timed, 53)
    assert isinstance(claim(timed, "slow", threads=1, device="CPU"), Done)
    assert not is_over(timed)
    take(timed, "quick", "H200")


def test_what_is_remembered_of_trainings_is_what_reading_anew_gives(timed: Study) -> None:
    for number in range(3):
        end(timed, take(timed, f"w{number}"), 60.0 + number)
        current_budget(timed)
    lease = take(timed, "pruned")
    write_notes(timed.engine, lease, Notes(device_name="CPU", epochs=2, train_s=9.0))
    timed.optuna.tell(timed.trial(lease.trial_id), state=TrialState.PRUNED)
    take(timed, "at work")
    anew = replace(timed, trainings=Trainings(timed.id))
    here, there = current_budget(timed), current_budget(anew)
    assert here.expense.each_s == pytest.approx(there.expense.each_s) == pytest.approx(61.0, abs=2)
    assert here.expense.at_hand_s == pytest.approx(there.expense.at_hand_s, abs=1)


def test_trials_that_are_spent_are_the_reason_whatever_time_is_left(
    database: str, make_study: Maker
) -> None:
    make_study(database, trials=1, until_s=HOUR)
    study = open_study(database, "small")
    end(study, take(study, "a"), 12 * 60.0)
    begun(study, 59)
    assert claim(study, "a", threads=1, device="CPU") == Done()
    assert read_status(study).standing == "over: every trial has ended"
    study.close()
