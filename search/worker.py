"""A worker: pulls trials from a study until every trial of the budget has ended, or it is told to stop."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Self

from sqlalchemy.exc import DBAPIError

from objectives.data.dataset import Dataset, open_dataset
from search import leases, roster
from search.blobs import BlobStore, check_writable, open_blobs
from search.claims import Claimed, Done, Waiting, claim
from search.leases import Lease
from search.patience import Patience
from search.pictures_store import PictureStore, open_pictures
from search.process import InterruptedTrialError, preload
from search.pulse import Pulse
from search.roster import Member
from search.storage import LeaseLostError
from search.study import Study, check_worker
from search.trials import run_trial

WAIT_S = 1.0  # between two looks for a trial to claim


@dataclass(frozen=True)
class Settings:
    """What a worker is told by its command line and environment."""

    artifacts: str  # URL of the artifact store
    cache: Path  # folder of the memory maps, shared by the workers of a host
    device: str = "auto"
    source: str = ""  # the data's place on this host, when it is not the study's
    threads: int = 0  # CPU threads; 0: this worker's share
    lease_s: float = leases.LEASE_S


class Orders:
    """What a worker has been told: ``stop`` leaves the trial at hand to others, ``leave`` takes no further one."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.leave = threading.Event()

    @classmethod
    def from_signals(cls, *, drain: bool) -> Self:
        """Orders that SIGTERM and SIGINT give: the first stops (``drain``: leaves after the trial), the second stops."""
        orders = cls()

        def obey(number: int, frame: FrameType | None) -> None:
            if not drain or orders.leave.is_set():
                orders.stop.set()
            orders.leave.set()

        signal.signal(signal.SIGTERM, obey)
        signal.signal(signal.SIGINT, obey)
        return orders


@dataclass(frozen=True)
class Worker:
    """A worker at work: its study, data, stores and pulse."""

    study: Study
    settings: Settings
    data: Dataset
    blobs: BlobStore
    pictures: PictureStore
    member: Member
    pulse: Pulse
    orders: Orders
    patiently: Patience
    say: Callable[[str], None]

    def interrupted(self) -> bool:
        """Whether to leave the trial at hand: told to stop, or its lease is lost."""
        return self.orders.stop.is_set() or self.pulse.lost.is_set()


def run_worker(study: Study, settings: Settings, orders: Orders, say: Callable[[str], None]) -> None:
    """Join a study and work until it is done or it is told to stop.

    Raises: UserError when this worker may not join; WorldError when its surroundings fail before it has joined.
    """
    preload()
    source = settings.source or study.spec.source
    data = open_dataset(source, study.spec.data_options, settings.cache)
    check_worker(study, data)
    blobs = open_blobs(settings.artifacts)
    check_writable(blobs)
    member = roster.join(study.engine, study.id, settings.device)
    try:
        with Pulse(study.engine, member, settings.lease_s) as pulse:
            patiently = Patience(orders.stop, say)
            pictures = open_pictures(settings.artifacts)
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
