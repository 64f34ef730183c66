"""Waiting out an outage of the database: training goes on, and what could not be written is written after it."""

import threading
from collections.abc import Callable
from typing import TypeVar

from search.process import InterruptedTrialError
from search.storage import outage

Result = TypeVar("Result")
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 15.0


class Patience:
    """Repeats a call until the database answers, or until ``stop`` is set."""

    def __init__(self, stop: threading.Event, say: Callable[[str], None]) -> None:
        self.stop = stop
        self.say = say

    def __call__(self, call: Callable[[], Result]) -> Result:
        """The call's result. A call may be repeated after it took effect, so it must bear that.

        Raises: InterruptedTrialError when told to stop while the database is away; what the call raises, unless an outage.
        """
        wait_s = FIRST_WAIT_S
        while True:
            try:
                return call()
            except Exception as error:  # which of many database errors it is, outage() decides
                if not outage(error):
                    raise
                self.say(f"the database does not answer; trying again in {wait_s:g} s")
            if self.stop.wait(wait_s):
                raise InterruptedTrialError("told to stop while the database was away")
            wait_s = min(LONGEST_WAIT_S, 2 * wait_s)
