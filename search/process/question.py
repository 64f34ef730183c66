"""The worker's word on a rung, which a trial does not stand still for: it trains the next epoch
meanwhile, and notes it only when it may go on.
"""

from typing import final

from search.process.link import Link
from search.process.saver import Save, Saver


class StopTrainingError(Exception):
    """The worker has said stop; the epoch at hand does not count."""


@final
class Question:
    """Asks whether a trial may go on from what is saved, and hears it at the latest before another epoch is
    noted.
    """

    def __init__(self, link: Link, saver: Saver) -> None:
        self.link = link
        self.saver = saver
        self.awaited = False
        self.number = 0

    def ask(self) -> None:
        """Save the state as it is now, and ask."""
        self.awaited = True
        self.saver.begin(self._tell)

    def beat(self) -> None:
        """Say that the trial gets on, and look whether it may.

        Raises:
            StopTrainingError: The worker has said stop by now.
        """
        self.link.beat()
        if self.awaited and self.saver.idle():
            self._hear(at_once=True)

    def settle(self) -> None:
        """Wait for the answer, if one is awaited. A worker that does not answer in time (its
        database is away) does not hold training up: its word counts later.

        Raises:
            StopTrainingError: It says stop.
        """
        if self.awaited:
            self._hear(at_once=False)
            self.awaited = False

    def stops(self) -> bool:
        """Return whether the worker says stop, if an answer is awaited."""
        try:
            self.settle()
        except StopTrainingError:
            return True
        return False

    def _tell(self, save: Save) -> None:
        self.number = self.link.tell(save)

    def _hear(self, *, at_once: bool) -> None:
        self.saver.wait()
        match self.link.answer(self.number, at_once=at_once):
            case True:
                raise StopTrainingError
            case False:
                self.awaited = False
