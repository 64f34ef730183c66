"""A worker: what it is told, and what it has at hand."""

import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Self

from objectives.data.dataset import Dataset
from search import leases
from search.blobs import BlobStore
from search.patience import Patience
from search.pictures_store import PictureStore
from search.pulse import Pulse
from search.roster import Member
from search.study import Study


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
