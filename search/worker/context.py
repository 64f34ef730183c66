"""A worker: its settings, its orders, and what it has at hand."""

import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Self

from objectives.data.dataset import Dataset
from objectives.training.augment_on import AugmentOn
from search.artifacts import BlobStore
from search.artifacts.pictures import PictureStore
from search.study.stored import Study
from search.trials import leases
from search.trials.roster import RosterEntry
from search.worker.patience import Patience
from search.worker.pulse import Pulse

HANG_S = 600.0
BY_NEED = -1  # slots: as many as have room for a large trial
BY_DEVICE = -1  # prefetchers: none on a CPU, on a GPU as many as there are cores for
LEAVE_S = (
    8.0  # a worker that was asked to stop and hangs on a dead connection is gone after so long
)


@dataclass(frozen=True)
class WorkerSettings:
    """What the command line and environment of a worker say."""

    artifacts: str  # URL of the artifact store
    cache: Path  # folder of the memory maps, shared by the workers of a host
    device: str = "auto"
    per_gpu: int = 0  # slots of each GPU; 0: it is not divided
    source: str = ""  # the data's place on this host, when it is not the study's
    threads: int = 0  # CPU threads; 0: this worker's share
    most_threads: int = 0  # of that share, where others may be about to join; 0: all of it
    # processes that augment ahead of training; 0: frames are augmented in line
    prefetchers: int = BY_DEVICE
    augment_on: AugmentOn = "host"
    lease_s: float = leases.LEASE_S
    hang_s: float = HANG_S  # a trial's process that gets nowhere for so long is killed
    verbose: bool = False


class Orders:
    """What a worker has been asked: ``stop`` leaves the trial at hand to others, ``leave`` takes no
    further one.

    A worker that was asked to leave ends with ``leave_code``: an engine that takes 0 for "done"
    would not start another.
    """

    def __init__(self, leave_code: int = 0) -> None:
        self.leave_code = leave_code
        self.stop = threading.Event()
        self.leave = threading.Event()
        # until then there is nothing to give back, and a signal ends the process at once
        self.at_work = False

    @classmethod
    def from_signals(cls, *, drain: bool, leave_code: int = 0) -> Self:
        """Orders that SIGTERM and SIGINT give: to stop, then to end at once. With ``drain`` the
        first is to leave.
        """
        orders = cls(leave_code)

        def obey(number: int) -> None:
            if orders.stop.is_set():
                # the trial's process ends with this one, and the lease runs out
                os._exit(leave_code or 128 + number)
            if not orders.at_work or not drain or orders.leave.is_set():
                orders.stop.set()
                _end_after(LEAVE_S, leave_code)
            orders.leave.set()

        def leave_early(number: int, frame: FrameType | None) -> None:
            if not orders.at_work:
                raise SystemExit(leave_code)

        # Python runs a handler between two of its own steps: never, while a silent database holds
        # the main thread. The number of a signal reaches this pipe at once
        hears, says = os.pipe()
        os.set_blocking(says, False)
        signal.set_wakeup_fd(says)
        signal.signal(signal.SIGTERM, leave_early)
        signal.signal(signal.SIGINT, leave_early)
        threading.Thread(target=_obey_each, args=(hears, obey), name="orders", daemon=True).start()
        return orders


def _obey_each(hears: int, obey: Callable[[int], None]) -> None:
    while number := os.read(hears, 1):
        # others come here, too, once somebody else handles them
        if number[0] in (signal.SIGTERM, signal.SIGINT):
            obey(number[0])


def _end_after(seconds: float, code: int) -> None:
    timer = threading.Timer(seconds, os._exit, (code,))
    timer.daemon = True
    timer.start()


@dataclass(frozen=True)
class Worker:
    """A worker at work: its study, data, stores and pulse."""

    study: Study
    settings: WorkerSettings
    data: Dataset
    blobs: BlobStore
    pictures: PictureStore
    member: RosterEntry
    pulse: Pulse
    marker: str  # of the database in the artifact store
    orders: Orders
    patiently: Patience
    say: Callable[[str], None]

    def interrupted(self) -> bool:
        """Return whether the worker was asked to stop, and so leaves the trial at hand.

        Raises:
            LeaseLostError: The pulse has found that the trial is another worker's.
        """
        if self.pulse.lost:
            raise self.pulse.lost
        return self.orders.stop.is_set()
