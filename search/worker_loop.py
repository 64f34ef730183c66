"""A worker's loop: claim and run trials until every trial of the budget has ended, or it is told to stop."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from sqlalchemy.exc import DBAPIError

from objectives.data.dataset import open_dataset
from search import leases, roster
from search.blobs import check_writable, open_blobs
from search.claims import Claimed, Done, Waiting, claim
from search.leases import Lease
from search.patience import Patience
from search.pictures_store import open_pictures
from search.process import InterruptedTrialError, preload
from search.pulse import Pulse
from search.storage import LeaseLostError
from search.study import Study, check_worker
from search.trials import run_trial
from search.worker import Orders, Settings, Worker

WAIT_S = 1.0  # between two looks for a trial to claim


def run_worker(study: Study, settings: Settings, orders: Orders, say: Callable[[str], None]) -> None:
    """Join a study and work until it is done or it is told to stop.

    Raises: UserError when this worker may not join; WorldError when its surroundings fail before it has joined.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that spin on cores which others share starve them
    blobs, pictures = open_blobs(settings.artifacts), open_pictures(settings.artifacts)
    check_writable(blobs)
    # first of all: workers that start together shall see each other before they share out the cores
    member = roster.join(study.engine, study.id, settings.device)
    try:
        preload()
        data = open_dataset(settings.source or study.spec.source, study.spec.data_options, settings.cache)
        check_worker(study, data)
        with Pulse(study.engine, member, settings.lease_s) as pulse:
            patiently = Patience(orders.stop, say)
            pull(Worker(study, settings, data, blobs, pictures, member, pulse, orders, patiently, say))
    finally:
        with suppress(DBAPIError):
            roster.leave(study.engine, member)


def pull(worker: Worker) -> None:
    """Claim and run one trial after the other."""
    while not worker.orders.leave.is_set():
        try:
            match worker.patiently(lambda: _claim(worker)):
                case Claimed(lease):
                    with holding(worker, lease):
                        run_trial(worker, lease)
                case Waiting():
                    worker.orders.leave.wait(WAIT_S)
                case Done():
                    return
        except InterruptedTrialError:
            continue
        except LeaseLostError as error:
            worker.say(f"{error}: another worker has taken the trial over")


@contextmanager
def holding(worker: Worker, lease: Lease) -> Iterator[None]:
    """Keep a lease alive, fence Optuna's writes with it, and give it back however the trial ends."""
    fence = worker.study.fence
    fence.trial_id, fence.number = lease.trial_id, lease.fence
    worker.pulse.hold(lease)
    try:
        yield
    finally:
        worker.pulse.hold(None)
        fence.trial_id = None
        with suppress(DBAPIError):  # without a database the lease runs out by itself
            leases.release(worker.study.engine, lease)


def _claim(worker: Worker) -> Claimed | Waiting | Done:
    threads = worker.settings.threads or roster.threads(worker.study.engine)
    return claim(worker.study, worker.member.id, threads=threads, lease_s=worker.settings.lease_s)
