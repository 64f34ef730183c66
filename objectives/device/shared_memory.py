"""The shared memory through which prefetched batches travel: how much they need, and how many
prefetchers there is room for.

A batch for which shared memory has no room ends the training, so it is asked for before any process
starts.
"""

import shutil
from pathlib import Path

from objectives.config import Config
from objectives.data.spec import FrameSpec

SHARED = Path("/dev/shm")
AHEAD = 2  # batches that each prefetcher makes ahead
IN_HAND = 2  # batches beside these: one that is trained on, and one that is copied to the device
SHARE = 0.5  # of what is free: other trials of the same container look at the same moment


def batch_bytes(batch_size: int, spec: FrameSpec) -> int:
    """Return the bytes of one batch as it travels: pixels as they are stored, and masks."""
    pixel = 1 if spec.max_value <= 255 else 2
    return batch_size * spec.height * spec.width * (spec.channels * pixel + 1)


def shared_memory_needed(batch_size: int, spec: FrameSpec, prefetchers: int) -> int:
    """Return the bytes of shared memory that so many prefetchers of one trial fill at most; none
    without prefetchers.
    """
    return (AHEAD * prefetchers + IN_HAND) * batch_bytes(batch_size, spec) if prefetchers else 0


def shared_memory_free() -> int:
    """Return the bytes of shared memory that one trial may count on now; 0 where a system
    has none.
    """
    try:
        return int(SHARE * shutil.disk_usage(SHARED).free)
    except OSError:
        return 0


def prefetchers_with_room(wanted: int, config: Config, spec: FrameSpec, free_bytes: int) -> int:
    """Return how many of the wanted prefetchers there is room for; with 0 batches are
    made in line.
    """
    size = config.train.batch_size
    fitting = (
        count
        for count in range(wanted, 0, -1)
        if shared_memory_needed(size, spec, count) <= free_bytes
    )
    return next(fitting, 0)
