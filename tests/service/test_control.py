"""Budgets and orders: what closes a study, what opens it again, and that workers obey while they
run.
"""

import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from optuna.trial import TrialState
from sqlalchemy import text, update

from objectives.errors import UserError
from search.database.tables import LEASE, STUDY
from search.study.budget import Budget, Limit, Order, current_budget, is_over
from search.study.joining import check_clock
from search.study.orders import extend_budget, give_order
from search.study.status import read_status
from search.study.stored import Study, open_study
from search.terminal.progress import print_status, show_until
from search.trials import leases
from search.trials.claims import Claimed, Done, Waiting, claim

Maker = Callable[..., None]
Command = Callable[..., subprocess.CompletedProcess[str]]
FRESH = Budget(
    trials=10, gpu_s=0.0, until_s=0.0, order=Order.RUNNING, age_s=0.0, spent_s=0.0, total=0, waiting=0, running=0,
    held=0, infeasible=0, foreign_failures=0, fixed=False,
)  # fmt: skip


@pytest.mark.parametrize(
    ("change", "closed"),
    [
        ({}, False),
        ({"total": 9}, False),
        ({"total": 10}, True),
        ({"total": 10, "waiting": 1}, False),
        # somebody failed it by hand: another takes its place
        ({"total": 10, "foreign_failures": 1}, False),
        # but not where all trials are given
        ({"total": 10, "foreign_failures": 1, "fixed": True}, True),
        ({"total": 12, "infeasible": 4}, True),  # two of the four count
        ({"total": 11, "infeasible": 4}, False),
        ({"total": 20, "infeasible": 20}, True),  # next to nothing works
        ({"until_s": 60.0, "age_s": 59.0}, False),
        ({"until_s": 60.0, "age_s": 61.0}, True),
        ({"gpu_s": 3600.0, "spent_s": 3599.0}, False),
        ({"gpu_s": 3600.0, "spent_s": 3600.0, "waiting": 1}, True),
        ({"order": Order.STOPPED}, True),
        ({"order": Order.PAUSED, "total": 10}, False),
    ],
)
def test_a_study_is_closed_when_any_limit_is_reached(
    change: dict[str, object], closed: bool
) -> None:
    assert replace(FRESH, **change).closed() == closed  # type: ignore[arg-type]


def take(study: Study, owner: str = "a") -> leases.Lease:
    claimed = claim(study, owner, threads=1)
    assert isinstance(claimed, Claimed)
    return claimed.lease


def test_a_paused_study_gives_out_nothing_and_a_stopped_one_is_over(small_study: Study) -> None:
    lease = take(small_study)
    leases.release(small_study.engine, lease)
    assert "was running, is paused" in give_order(small_study, Order.PAUSED)
    assert claim(small_study, "b", threads=1) == Waiting()
    assert not is_over(small_study)
    assert "already" in give_order(small_study, Order.PAUSED)
    give_order(small_study, Order.RUNNING)
    assert take(small_study, "b").trial_id == lease.trial_id
    give_order(small_study, Order.STOPPED)
    assert claim(small_study, "c", threads=1) == Waiting()  # somebody still trains it
    leases.release(small_study.engine, replace(lease, owner="b", fence=2))
    assert claim(small_study, "c", threads=1) == Done()
    assert is_over(small_study)
    give_order(small_study, Order.RUNNING)
    assert not is_over(small_study)
    assert take(small_study, "c").trial_id == lease.trial_id


def test_everybody_is_told_why_nothing_happens(
    small_study: Study, capsys: pytest.CaptureFixture[str]
) -> None:
    def told() -> tuple[bool, str, str]:
        print_status(small_study)
        found = read_status(small_study).as_json()
        assert capsys.readouterr().out.splitlines()[0].endswith(f"; {found['standing']}")
        return found["over"], found["limit"], found["standing"]

    assert told() == (False, "none", "waits: no worker is alive")
    lease = take(small_study)
    give_order(small_study, Order.PAUSED)
    assert told() == (False, "paused", "paused: `search resume` goes on")
    give_order(small_study, Order.STOPPED)
    assert told() == (
        False,
        "stopped",
        "ends, 1 trial(s) to end: stopped by hand; `search resume` goes on",
    )
    leases.release(small_study.engine, lease)
    assert told() == (
        True,
        "stopped",
        "over: stopped by hand, 1 trial(s) unfinished; `search resume` goes on",
    )
    give_order(small_study, Order.RUNNING)
    small_study.optuna.tell(small_study.trial(lease.trial_id), 0.5)
    with small_study.engine.begin() as connection:
        connection.execute(
            update(STUDY).values(until_s=60.0, started_at=text("now() - interval '1 hour'"))
        )
    assert told() == (
        True,
        "deadline",
        "over: its time is over; `search extend --until 1h` gives it more",
    )
    assert read_status(small_study).as_json()["deadline_s"] == 0
    with small_study.engine.begin() as connection:
        connection.execute(update(STUDY).values(until_s=0.0, gpu_s=1e-9))
        connection.execute(update(LEASE).values(spent_s=1.0))
    assert told() == (
        True,
        "hours",
        "over: its device hours are spent; `search extend --gpu-hours 1` gives it more",
    )
    assert read_status(small_study).as_json()["deadline_s"] is None


def test_a_halt_is_said_once_while_a_study_is_watched(
    small_study: Study, capsys: pytest.CaptureFixture[str]
) -> None:
    looks = 0

    def over() -> bool:
        nonlocal looks
        looks += 1
        if looks == 2:
            give_order(small_study, Order.PAUSED)
        return looks == 4

    show_until(small_study, over)
    assert capsys.readouterr().out.count("is paused: `search resume` goes on\n") == 1


def test_an_extended_study_goes_on(small_study: Study) -> None:
    for _ in range(small_study.spec.trials):
        small_study.optuna.tell(small_study.trial(take(small_study).trial_id), 0.5)
    assert claim(small_study, "a", threads=1) == Done()
    assert "6 trials (4 spent)" in extend_budget(small_study, trials=2, gpu_s=0.0, until_s=0.0)
    for _ in range(2):
        small_study.optuna.tell(small_study.trial(take(small_study).trial_id), 0.5)
    assert claim(small_study, "a", threads=1) == Done()
    assert read_status(small_study).as_json()["budget"] == {"trials": 6, "spent": 6}
    with pytest.raises(UserError, match="no limit that --gpu-hours"):
        extend_budget(small_study, trials=0, gpu_s=60.0, until_s=0.0)
    with pytest.raises(UserError, match="how much more"):
        extend_budget(small_study, trials=0, gpu_s=0.0, until_s=0.0)


def test_hours_count_what_every_claim_has_held_and_close_the_study(
    database: str, make_study: Maker
) -> None:
    make_study(database, trials=4)
    study = open_study(database, "small")
    with study.engine.begin() as connection:
        connection.execute(text("UPDATE search_study SET gpu_s = 100"))
    lease = take(study)
    back_dated = {"renewed_at": text("clock_timestamp() - interval '60 seconds'")}
    with study.engine.begin() as connection:
        connection.execute(update(LEASE).values(back_dated))
    # also what was not written yet
    assert current_budget(study).spent_s == pytest.approx(60.0, abs=5.0)
    with study.engine.begin() as connection:
        leases.renew(connection, lease, 30.0)
    assert current_budget(study).spent_s == pytest.approx(60.0, abs=5.0)
    assert current_budget(study).limit() is Limit.NONE
    with study.engine.begin() as connection:
        connection.execute(update(LEASE).values(back_dated))
    leases.release(study.engine, lease)
    assert current_budget(study).spent_s == pytest.approx(120.0, abs=5.0)
    assert current_budget(study).limit() is Limit.HOURS
    assert claim(study, "b", threads=1) == Done()  # the one at hand waits for more hours
    assert read_status(study).as_json()["hours"]["spent"] == pytest.approx(120 / 3600, abs=0.002)
    study.close()


def test_a_trial_failed_by_hand_is_replaced_and_status_says_so(small_study: Study) -> None:
    lease = take(small_study)
    small_study.storage.set_trial_state_values(lease.trial_id, TrialState.FAIL)
    for _ in range(4):
        small_study.optuna.tell(small_study.trial(take(small_study).trial_id), 0.5)
    assert claim(small_study, "a", threads=1) == Done()
    status = read_status(small_study)
    assert (status.spent, status.trials["failed"], status.trials["complete"]) == (4, 0, 4)
    assert "do not count" in status.warnings[0]


def test_a_deleted_study_is_an_error_with_its_name(small_study: Study) -> None:
    small_study.storage.delete_study(small_study.id)
    for ask in (lambda: claim(small_study, "a", threads=1), lambda: read_status(small_study)):
        with pytest.raises(UserError, match="'small' was deleted"):
            ask()


def test_a_worker_whose_clock_is_off_may_not_join(
    small_study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_clock(small_study)
    now = time.time
    monkeypatch.setattr("search.study.joining.time.time", lambda: now() - 7200.0)
    with pytest.raises(UserError, match=r"clock is 2\.0 h behind"):
        check_clock(small_study)


@pytest.mark.long
def test_the_commands_say_what_they_did(database: str, make_study: Maker, search: Command) -> None:
    make_study(database, trials=4)
    place = ("--study", "small", "--storage", database)
    for words, said in (
        (("pause",), "is paused"),
        (("resume",), "is running"),
        (("stop",), "is stopped"),
        (("extend", "--trials", "+50"), "now has 54 trials"),
    ):
        done = search(*words, *place)
        assert (done.returncode, said in done.stdout) == (0, True), (done.stdout, done.stderr)
    assert json.loads(search("status", *place, "--json").stdout)["state"] == "stopped"
    refused = search("extend", *place)
    assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1)
