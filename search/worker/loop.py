"""A worker's loop: claim and run trials until every trial of the budget has ended, or it is asked
to stop.
"""

import os
import random
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from optuna.exceptions import UpdateFinishedTrialError
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from objectives.data.dataset import Dataset, open_dataset
from objectives.data.preparing.progress import in_lines
from search.artifacts import check_writable, open_blobs
from search.artifacts.marker import check_marked
from search.artifacts.pictures import open_pictures
from search.database.connections import LeaseLostError
from search.machine.cuda import check_cuda
from search.process.parent import InterruptedTrialError, SurroundingsError, preload
from search.study.budget import current_budget
from search.study.data_path import here
from search.study.joining import check_clock, check_program, check_worker
from search.study.stored import Study
from search.trials import leases, roster
from search.trials.believing import believe
from search.trials.claims import Claimed, Done, Waiting, claim
from search.trials.leases import Lease
from search.waits import AGAIN, growing_waits
from search.worker.context import Orders, Worker, WorkerSettings
from search.worker.patience import Patience
from search.worker.pulse import Pulse
from search.worker.slots import division, joined
from search.worker.trial import run_trial

# the first and the longest wait between two looks for a trial to claim, but for chance: workers that
# wait do not look all at once
LOOKS_S = (1.0, 5.0)
# the first and the longest wait before this worker tries again where its surroundings have failed
RETRIES_S = (10.0, 120.0)


def run_worker(
    study: Study, settings: WorkerSettings, orders: Orders, say: Callable[[str], None]
) -> None:
    """Join a study and work until it is done or it is asked to stop.

    Raises:
        UserError: This worker may not join, or may not go on, as the database is upgraded beyond
            its program.
        WorldError: Its data cannot be prepared, or its GPU cannot be used.
    """
    # threads that spin on cores which others share starve them
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    blobs = open_blobs(settings.artifacts)
    pictures = open_pictures(settings.artifacts)
    patiently = Patience(orders.stop, say)
    patiently(lambda: check_clock(study))
    marker = patiently(lambda: check_marked(study.engine, settings.artifacts))
    patiently(lambda: check_writable(blobs))
    name = uuid.uuid4().hex

    def opened() -> Dataset:
        source = patiently(lambda: here(settings.source or study.spec.source, settings.cache, say))
        return open_dataset(source, study.spec.frames, settings.cache, in_lines(say))

    try:
        preload()
        check_program(study.spec)
        # before the data, where these do not decide it: workers that start together shall see each
        # other before they share out the cores
        member = joined(study, settings, name, division(study, settings, opened, say), patiently)
        if member is None:
            return
        for remark in member.remarks:
            say(remark)
        if member.slot.of:
            say(f"has {member.slot} of {member.device.name} ({member.gpu})")
        data = opened()
        check_worker(study, data)
        member = replace(member, device=check_cuda(member.device))
        orders.at_work = True
        with Pulse(study.engine, member, settings.lease_s) as pulse:
            pull(
                Worker(
                    study,
                    settings,
                    data,
                    blobs,
                    pictures,
                    member,
                    pulse,
                    marker,
                    orders,
                    patiently,
                    say,
                )
            )
    finally:
        with suppress(SQLAlchemyError):
            roster.leave(study.engine, name)


def pull(worker: Worker) -> None:
    """Claim and run one trial after the other."""
    waits = growing_waits(*RETRIES_S)
    looks = growing_waits(*LOOKS_S)
    told = False  # why it begins nothing more
    while not worker.orders.leave.is_set():
        try:
            claimed = worker.patiently(lambda: _claim(worker))
            why = "" if isinstance(claimed, Claimed) else claimed.why
            if why and not told:
                worker.say(why)
            told = bool(why)
            match claimed:
                case Claimed(lease):
                    with holding(worker, lease):
                        run_trial(worker, lease)
                    waits = growing_waits(*RETRIES_S)
                    looks = growing_waits(*LOOKS_S)
                case Waiting():
                    worker.orders.leave.wait(next(looks) * random.uniform(0.5, 1.0))
                case Done():
                    # also of what others have ended, or a limit has cut, since it last looked
                    worker.patiently(lambda: believe(worker.study))
                    return
        except InterruptedTrialError:
            continue
        except LeaseLostError as error:  # refused to a write, or to the pulse
            worker.say(f"{error}: another worker has taken the trial over")
        except UpdateFinishedTrialError:
            worker.say("the trial at hand was ended by somebody else")
        except KeyError:  # Optuna's word for what is not there
            current_budget(worker.study)  # says so when the study was deleted
            raise
        # not the trial's fault: others may take it, this worker waits
        except SurroundingsError as error:
            wait_s = next(waits)
            worker.say(f"{error}{AGAIN} {wait_s:g} s")
            worker.orders.leave.wait(wait_s)


@contextmanager
def holding(worker: Worker, lease: Lease) -> Iterator[None]:
    """Keep a lease alive, fence Optuna's writes with it, and give it back however the
    trial ends.
    """
    worker.pulse.hold(lease)
    try:
        with worker.study.fence.holding(lease.trial_id, lease.fence):
            yield
    finally:
        worker.pulse.hold(None)
        with suppress(SQLAlchemyError):  # without a database the lease runs out by itself
            leases.release(worker.study.engine, lease)


def _claim(worker: Worker) -> Claimed | Waiting | Done:
    threads = threads_of(worker.settings, worker.study.engine)
    return claim(
        worker.study,
        worker.member.id,
        threads=threads,
        device=worker.member.device.name,
        lease_s=worker.settings.lease_s,
    )


def threads_of(settings: WorkerSettings, engine: Engine) -> int:
    """Return the CPU threads of a trial that this worker claims now: those of its options, or its
    share of the host's.
    """
    if settings.threads:
        return settings.threads
    share = roster.threads(engine)
    return min(share, settings.most_threads) if settings.most_threads else share
