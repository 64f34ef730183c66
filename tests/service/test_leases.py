"""Leases and the fence: only the newest owner of a trial can write for it."""

import time
from contextlib import AbstractContextManager

import pytest
from optuna.trial import TrialState
from sqlalchemy import update

from search.artifacts import open_blobs
from search.database.connections import LeaseLostError
from search.database.tables import LEASE
from search.study.stored import Study, open_study
from search.trials import checkpoints, claims, leases, roster
from search.trials.checkpoints import Pointer
from search.trials.claims import Claimed, Done, Waiting, claim
from search.trials.drawing import draw
from search.worker.blame import MOST_CRASHES, MOST_HANGS, judge_lease
from search.worker.pulse import Pulse
from tests.support.waiting import wait_for

EXPIRED_S = 0.01
CHECKPOINT = {kind: Pointer(digit * 64, 2, 0.5) for kind, digit in (("last", "0"), ("best", "1"))}


def take(study: Study, owner: str, lease_s: float = 60.0) -> leases.Lease:
    claimed = claim(study, owner, threads=1, lease_s=lease_s)
    assert isinstance(claimed, Claimed)
    return claimed.lease


def renew(study: Study, lease: leases.Lease) -> None:
    with study.engine.begin() as connection:
        leases.renew(connection, lease, 60.0)


def holding(study: Study, lease: leases.Lease) -> AbstractContextManager[None]:
    return study.fence.holding(lease.trial_id, lease.fence)


def test_the_control_is_the_first_trial(small_study: Study) -> None:
    lease = take(small_study, "a")
    config = draw(small_study, lease).config
    assert small_study.storage.get_trial(lease.trial_id).number == 0
    assert config == small_study.space.default()


def test_a_live_lease_is_left_alone_and_an_expired_one_is_adopted_under_the_same_number(
    small_study: Study,
) -> None:
    first = take(small_study, "a", lease_s=EXPIRED_S)
    time.sleep(2 * EXPIRED_S)
    again = take(small_study, "b")
    other = take(small_study, "c")
    assert again.trial_id == first.trial_id
    assert again.fence == first.fence + 1
    assert other.trial_id != first.trial_id


def test_leases_can_be_renewed_for_a_while_after_the_server_has_started(
    small_study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after an outage, in which nobody could: whoever is first to reach the server takes nothing
    from the others.
    """
    monkeypatch.setattr(claims, "GRACE", 1.0)
    first = take(small_study, "a", lease_s=EXPIRED_S)
    time.sleep(2 * EXPIRED_S)
    long_s = 1e6  # longer than the tests' server is there
    assert take(small_study, "b", lease_s=long_s).trial_id != first.trial_id
    assert take(small_study, "c", lease_s=EXPIRED_S).trial_id == first.trial_id
    given_back = take(small_study, "d", lease_s=long_s)
    leases.release(small_study.engine, given_back)
    assert take(small_study, "e", lease_s=long_s).trial_id == given_back.trial_id


def test_a_released_lease_is_adopted_at_once_with_the_first_claims_threads(
    small_study: Study,
) -> None:
    claimed = claim(small_study, "a", threads=3)
    assert isinstance(claimed, Claimed)
    leases.release(small_study.engine, claimed.lease)
    again = claim(small_study, "b", threads=7)
    assert isinstance(again, Claimed)
    assert (again.lease.trial_id, again.lease.threads) == (claimed.lease.trial_id, 3)


def test_a_renewed_lease_stays_and_a_lost_one_cannot_be_renewed_or_released(
    small_study: Study,
) -> None:
    old = take(small_study, "a", lease_s=EXPIRED_S)
    renew(small_study, old)
    other = take(small_study, "b", lease_s=EXPIRED_S)
    assert other.trial_id != old.trial_id
    time.sleep(2 * EXPIRED_S)
    taken = take(small_study, "c")
    assert taken.trial_id == other.trial_id
    with pytest.raises(LeaseLostError):
        renew(small_study, other)
    # of the old fence: it must not free the new owner's trial
    leases.release(small_study.engine, other)
    assert take(small_study, "d").trial_id != taken.trial_id


def test_whoever_lost_the_lease_writes_nothing(small_study: Study, tmp_path: object) -> None:
    old = take(small_study, "a", lease_s=EXPIRED_S)
    draw(small_study, old)
    trial = small_study.trial(old.trial_id)
    with holding(small_study, old):
        trial.report(0.25, step=1)
    time.sleep(2 * EXPIRED_S)
    new = take(small_study, "b")
    assert new.trial_id == old.trial_id
    writes = [
        lambda: trial.report(0.5, step=2),
        lambda: trial.set_user_attr("late", 1),
        lambda: small_study.optuna.tell(trial, 0.9),
        lambda: checkpoints.point(small_study.engine, open_blobs(str(tmp_path)), old, CHECKPOINT),
        lambda: leases.note_death(small_study.engine, old, hung=False),
    ]
    for write in writes:
        with holding(small_study, old), pytest.raises(LeaseLostError):
            write()
    frozen = small_study.storage.get_trial(old.trial_id)
    assert frozen.state == TrialState.RUNNING
    assert frozen.intermediate_values == {1: 0.25}
    assert "late" not in frozen.user_attrs
    assert checkpoints.pointers_of(small_study.engine, old.trial_id) == {}


@pytest.mark.parametrize(
    ("hung", "most", "cause"), [(False, MOST_CRASHES, "crashed"), (True, MOST_HANGS, "hung")]
)
def test_one_death_counts_once_and_the_last_one_ends_the_trial_whoever_runs_it(
    hung: bool, most: int, cause: str, small_study: Study
) -> None:
    for times in range(1, most + 1):
        lease = take(small_study, f"worker {times}")
        assert judge_lease(small_study, lease) is None
        noted = leases.note_death(small_study.engine, lease, hung=hung)
        assert leases.note_death(small_study.engine, lease, hung=hung) == noted, (
            "the same death, told again"
        )
        assert len(noted.crashed_by + noted.hung_by) == times
        # the last of them was killed before it could fail the trial
        leases.release(small_study.engine, lease)
    ending = judge_lease(small_study, take(small_study, "another"))
    assert ending is not None
    assert (ending.state, ending.cause) == (TrialState.FAIL, cause)
    assert f"{most} different workers" in ending.message


@pytest.mark.parametrize(("hung", "most"), [(False, MOST_CRASHES), (True, MOST_HANGS)])
def test_deaths_at_one_worker_end_a_trial_only_where_no_other_is_alive(
    hung: bool, most: int, small_study: Study
) -> None:
    """Its own device may be what kills it."""
    study = small_study
    other = roster.join(study.engine, study.id, "cpu", "other")
    elsewhere = roster.join(study.engine, study.id + 1, "cpu", "of another study")
    noted = take(study, "one")  # which it had crashed alone before the other came
    for _ in range(most):
        noted = leases.note_death(study.engine, noted, hung=hung)
    assert judge_lease(study, noted) is None
    roster.leave(study.engine, other.id)
    ending = judge_lease(study, noted)
    assert ending is not None
    assert "one worker, whose device is sound" in ending.message
    roster.leave(study.engine, elsewhere.id)


def test_a_trial_that_has_died_at_one_worker_is_left_to_those_who_have_not_seen_it_die(
    small_study: Study,
) -> None:
    study = small_study
    for name in ("one", "other"):
        roster.join(study.engine, study.id, "cpu", name)
    died = take(study, "one")
    leases.note_death(study.engine, died, hung=False)
    leases.release(study.engine, died)
    new = take(study, "one")
    assert new.trial_id != died.trial_id, "another trial, while the other worker may take this one"
    again = take(study, "other")
    assert again.trial_id == died.trial_id
    leases.note_death(study.engine, again, hung=True)
    leases.release(study.engine, again)
    assert take(study, "one").trial_id == died.trial_id, (
        "both have seen it die: whoever is free takes it"
    )


def test_a_trial_that_has_died_here_is_taken_up_here_once_no_other_worker_is_alive(
    small_study: Study,
) -> None:
    study = small_study
    for name in ("one", "other"):
        roster.join(study.engine, study.id, "cpu", name)
    died = take(study, "one")
    leases.note_death(study.engine, died, hung=False)
    leases.release(study.engine, died)
    roster.leave(study.engine, "other")
    assert take(study, "one").trial_id == died.trial_id


def test_the_owner_writes_under_its_fence(small_study: Study) -> None:
    lease = take(small_study, "a")
    with holding(small_study, lease):
        trial = small_study.trial(lease.trial_id)
        trial.report(0.5, step=1)
        small_study.optuna.tell(trial, 0.5)
    assert small_study.storage.get_trial(lease.trial_id).state == TrialState.COMPLETE


def test_claims_end_with_the_budget(small_study: Study) -> None:
    ids = {take(small_study, f"w{i}").trial_id for i in range(small_study.spec.trials)}
    assert len(ids) == small_study.spec.trials
    assert claim(small_study, "b", threads=1) == Waiting()
    for trial_id in ids:
        small_study.storage.set_trial_state_values(trial_id, TrialState.PRUNED)
    assert claim(small_study, "b", threads=1) == Done()


def test_a_trial_created_without_a_lease_is_adopted_before_a_new_one_is_made(
    small_study: Study,
) -> None:
    small_study.optuna.ask()  # what a crash between Optuna's commit and ours leaves
    left = small_study.optuna.ask()
    assert take(small_study, "a").trial_id < left._trial_id
    assert take(small_study, "b").trial_id == left._trial_id
    assert len(small_study.optuna.get_trials()) == 2


def test_a_trial_whose_creator_died_before_its_parameters_is_drawn_by_another(
    database: str, small_study: Study
) -> None:
    lease = take(small_study, "killed right after the claim")
    other = open_study(database, "small")
    config = draw(other, lease).config
    assert config == other.space.default()
    other.close()


def test_the_pulse_renews_and_notices_a_loss(small_study: Study) -> None:
    member = roster.join(small_study.engine, small_study.id, "cpu", "a")
    lease = take(small_study, member.id, lease_s=0.6)
    with Pulse(small_study.engine, member, 0.6) as pulse:
        pulse.hold(lease)
        time.sleep(1.2)
        assert pulse.lost is None
        # it was renewed, so it is not to be had
        assert take(small_study, "b").trial_id != lease.trial_id
        with small_study.engine.begin() as connection:
            stolen = {"owner": "thief", "fence": lease.fence + 1}
            connection.execute(
                update(LEASE).where(LEASE.c.trial_id == lease.trial_id).values(stolen)
            )
        wait_for(lambda: isinstance(pulse.lost, LeaseLostError), 5.0)
