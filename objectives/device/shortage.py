"""Memory that ran out: who held how much of it then, and whether a trial took more than its share.
Imports no torch.
"""

import resource
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import final

import psutil

from objectives.errors import WorldError

GIB = 2**30
MIB = 2**20
# of a device's memory, for a trial; the rest is for the driver's and the libraries' own
MEMORY_SHARE = 0.9
LIBRARIES = GIB  # which take so much at least, however small the device
# by how much more may have been asked for than torch says, in two decimals of a unit from 1.00 on. A
# trial that reaches its limit does so each time: it must not be taken for its neighbour's fault
ROUNDED = 1.005
CGROUP = Path("/sys/fs/cgroup")
HOST = "this host"
LIMITS = ("memory.max", "memory/memory.limit_in_bytes")  # version 2, version 1


class MemoryTakenError(WorldError):
    """Others hold memory of a device that is the trial's share; the message has the numbers."""


@final
@dataclass(frozen=True)
class Shortage:
    """Memory of which too little was left, in bytes; ``of`` whom, in words."""

    of: str
    asked: int  # what was not to be had; 0: the error does not say
    ours: int  # held by this process
    others: int  # held by everybody else, and what is not counted as ours: a driver's own
    total: int  # 0: the device could not be asked, for it has no memory even for that
    share: int  # of the total, which one trial may take, whoever else is there

    @property
    def beyond_share(self) -> bool:
        """Whether the trial is to blame: it would not have fitted either with nobody else there.

        Where it is known how much was asked for, that decides, since others may have come and gone
        meanwhile.
        """
        if not self.total:
            return False
        return (
            self.ours + ROUNDED * self.asked > self.share
            if self.asked
            else self.others <= self.total - self.share
        )

    def taken(self) -> str:
        """Say that others hold what is the trial's share."""
        return f"others hold the memory of {self.of}: {self}"

    def __str__(self) -> str:
        if not self.total:
            return "so much of it that the device cannot even be asked how much"
        asked = f"{in_words(self.asked)} more were asked for, " if self.asked > 1 else ""
        held = (
            f"this process held {in_words(self.ours)}, others {in_words(self.others)} of "
            f"{in_words(self.total)}"
        )
        return f"{asked}{held}, a trial's share is {in_words(self.share)}"


def share_of(total: int, slots: int = 0) -> int:
    """Return the bytes of a device's memory that one trial may take, whoever else is there.

    A verdict on a trial stays, and must not depend on who was alive at that moment: so workers that
    share a device have all of it each, one after the other where two trials do not fit side by
    side. Where it is divided into ``slots``, each has its part: what is left of that is for the
    driver's and the libraries' own of one process.
    """
    part = total // max(1, slots)
    return max(part // 2, min(int(MEMORY_SHARE * part), part - LIBRARIES))


def host_memory() -> int:
    """Return the bytes of memory that this process may use: the host's, within its control group's
    limit.
    """
    limits = [int(psutil.virtual_memory().total)]
    for file in LIMITS:
        with suppress(OSError, ValueError):
            limits.append(int((CGROUP / file).read_text()))
    return min(limits)


def host_shortage(asked: int) -> Shortage:
    """Return who holds the host's memory now. A limit of this process alone (``ulimit``) is the
    whole of what it may take.

    Without one the kernel refuses no little memory before the whole host is out of it: then it
    counts only whether this process itself has, or asks for, more than a share.
    """
    process = psutil.Process()
    total = host_memory()
    own = [resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_DATA, resource.RLIMIT_AS)]
    if limits := [limit for limit in own if limit != resource.RLIM_INFINITY]:
        # reached, or the kernel would not have refused; what the failure has freed since does not
        # count
        return Shortage(
            HOST, asked, ours=min(limits), others=0, total=min(limits), share=min(limits)
        )
    ours = int(process.memory_full_info().uss)
    return Shortage(
        HOST, max(asked, 1), ours, max(0, total - _host_free(total) - ours), total, share_of(total)
    )


def _host_free(total: int) -> int:
    """Bytes that are free, or hold nothing but copies of files."""
    free = int(psutil.virtual_memory().available)
    with suppress(OSError, ValueError, KeyError):
        used = int((CGROUP / "memory.current").read_text())
        counted = dict(line.split() for line in (CGROUP / "memory.stat").read_text().splitlines())
        free = min(free, total - used + int(counted["file"]))
    return max(0, free)


def in_words(count: int) -> str:
    """Return a number of bytes as people read it."""
    return f"{count / GIB:.2f} GiB" if count >= GIB else f"{count / MIB:.1f} MiB"
