"""A worker's arrival: it may start before the database does, or before anybody has written the
study.
"""

import time
from collections.abc import Callable

from objectives.errors import WorldError
from search.database.capacity import WORKER_CONNECTIONS
from search.database.connections import NoStudyError
from search.study.stored import Study, open_study
from search.waits import growing_waits


def wait_for_study(url: str, name: str, longest_s: float, say: Callable[[str], None]) -> Study:
    """Return the study, opened as soon as it is there.

    Raises:
        NoStudyError: It is not there after so long, with the reason.
        WorldError: It is not there after so long, with the reason.
    """
    deadline = time.monotonic() + longest_s
    for usual_s in growing_waits():
        try:
            return open_study(url, name, connections=WORKER_CONNECTIONS)
        except (NoStudyError, WorldError) as error:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise
            wait_s = min(usual_s, left_s)
            say(f"{error}; trying again in {wait_s:.1f} s, for {left_s:.0f} s at most")
        time.sleep(wait_s)
    raise AssertionError("the waits do not end")
