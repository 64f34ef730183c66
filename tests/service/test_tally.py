"""What a study has spent, read without counting anew what has ended."""

import random
from dataclasses import asdict, replace
from datetime import UTC, datetime

import pytest
from optuna.trial import TrialState
from sqlalchemy import text

from search.study.budget import Budget, current_budget, read_budget
from search.study.record import Notes
from search.study.stored import Study
from search.study.tally import Tally
from search.trials import leases
from search.trials.claims import Claimed, claim
from search.trials.writing import write_notes


def counted_both_ways(study: Study) -> tuple[Budget, Budget]:
    with study.engine.connect() as connection:
        anew = replace(study, tally=Tally(study.id))
        return read_budget(connection, study), read_budget(connection, anew)


def same(one: Budget, other: Budget) -> bool:
    times = ("age_s", "spent_s")
    plain = [
        {name: value for name, value in asdict(each).items() if name not in times}
        for each in (one, other)
    ]
    return plain[0] == plain[1] and abs(one.spent_s - other.spent_s) < 0.5


def step(study: Study, at_work: list[leases.Lease], dice: random.Random, number: int) -> None:
    """Let one thing happen to a study."""
    if not at_work or dice.random() < 0.4:
        claimed = claim(study, f"w{number}", threads=1)
        if isinstance(claimed, Claimed):
            at_work.append(claimed.lease)
        return
    lease = at_work.pop(dice.randrange(len(at_work)))
    match dice.randrange(5):
        case 0:  # given back, and adopted by whoever comes next
            leases.release(study.engine, lease)
        case 1:  # ended, and its worker killed before it gave it back
            study.optuna.tell(study.trial(lease.trial_id), dice.random())
        case 2:
            study.storage.set_trial_state_values(lease.trial_id, TrialState.FAIL)
            leases.release(study.engine, lease)
        case 3:
            write_notes(study.engine, lease, Notes(cause="infeasible"))
            study.optuna.tell(study.trial(lease.trial_id), state=TrialState.PRUNED)
            leases.release(study.engine, lease)
        case _:
            study.optuna.tell(study.trial(lease.trial_id), dice.random())
            leases.release(study.engine, lease)


@pytest.mark.parametrize("seed", range(3))
def test_a_tally_is_what_counting_anew_would_be(seed: int, small_study: Study) -> None:
    dice = random.Random(seed)
    with small_study.engine.begin() as connection:
        connection.execute(text("UPDATE search_study SET trials = 30"))
    at_work: list[leases.Lease] = []
    for number in range(40):
        step(small_study, at_work, dice, number)
        assert same(*counted_both_ways(small_study))
    assert small_study.tally.seen.after > 0


def ended(study: Study, owner: str) -> leases.Lease:
    claimed = claim(study, owner, threads=1)
    assert isinstance(claimed, Claimed)
    study.optuna.tell(study.trial(claimed.lease.trial_id), 0.5)
    leases.release(study.engine, claimed.lease)
    return claimed.lease


def test_a_look_reads_again_what_is_open_and_nothing_else(small_study: Study) -> None:
    for number in range(3):
        ended(small_study, f"w{number}")
    running = claim(small_study, "last", threads=1)
    assert isinstance(running, Claimed)
    assert current_budget(small_study).total == 4
    assert small_study.tally.seen.open == (running.lease.trial_id,)
    assert small_study.tally.seen.after == running.lease.trial_id


def test_another_server_is_counted_from_the_beginning(small_study: Study) -> None:
    """It may lack what the one before it had promised, as a standby that was behind does."""
    lease = ended(small_study, "a")
    before = current_budget(small_study)
    with small_study.engine.begin() as connection:
        connection.execute(text("DELETE FROM trial_values"))
        for table in ("trial_user_attributes", "trial_system_attributes", "trials"):
            connection.execute(
                text(f"DELETE FROM {table} WHERE trial_id = :trial_id"),
                {"trial_id": lease.trial_id},
            )
        assert small_study.tally.seen.server is not None
        here = small_study.tally.read(connection, small_study.tally.seen.server, "")
        elsewhere = small_study.tally.read(connection, datetime.now(UTC), "")
    assert (here.total, elsewhere.total) == (before.total, before.total - 1)
