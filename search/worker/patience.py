"""Waiting out an outage of the database or the artifact store: what could not be written is written
after it.
"""

import threading
from collections.abc import Callable
from typing import TypeVar

from search.artifacts import StoreAwayError
from search.database.connections import outage, reason
from search.process.parent import InterruptedTrialError
from search.waits import AGAIN, growing_waits

Result = TypeVar("Result")


class Patience:
    """Repeats a call until database and artifact store answer, or until ``stop`` is set."""

    def __init__(self, stop: threading.Event, say: Callable[[str], None]) -> None:
        self.stop = stop
        self.say = say

    def __call__(self, call: Callable[[], Result]) -> Result:
        """Return the call's result. A call may be repeated after it took effect, so it must bear that.

        Raises:
            InterruptedTrialError: The worker was asked to stop meanwhile; what the call raises,
                unless an outage.
        """
        for wait_s in growing_waits():
            try:
                return call()
            except StoreAwayError as error:
                why = str(error)
            except Exception as error:  # which of many database errors it is, outage() decides
                if not outage(error):
                    raise
                why = f"the database does not answer ({reason(error)})"
            self.say(f"{why}{AGAIN} {wait_s:g} s")
            if self.stop.wait(wait_s):
                raise InterruptedTrialError(f"asked to stop while waiting: {why}")
        raise AssertionError("the waits do not end")
