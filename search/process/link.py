"""A trial's end of the pipe to its worker."""

import threading
from multiprocessing.connection import Connection

from search.process.messages import Message, Noted, Reply, Saved, Word
from search.process.parent import Count
from search.process.saver import Save

REPLY_S = 2.0  # how long to wait for the worker's word before training goes on without it


class Link:
    """The child's end of the pipe, and the count by which the worker sees that it gets on."""

    def __init__(self, pipe: Connection, beats: Count) -> None:
        self.pipe = pipe
        self.beats = beats
        self.sent = 0
        self.lock = threading.Lock()

    def send(self, message: Message) -> None:
        """Tell the worker; a thread that saves may do so, too."""
        with self.lock:
            self.pipe.send(message)

    def beat(self) -> None:
        """Say that this process gets on."""
        self.beats.value += 1

    def note(self, text: str) -> None:
        """Say something to people; whoever can, is getting on."""
        self.beat()
        self.send(Noted(text))

    def tell(self, save: Save) -> int:
        """Tell the worker what is saved; return the number that its answer will have."""
        with self.lock:
            self.sent += 1
            self.pipe.send(
                Saved(self.sent, save.history, save.checkpoint, save.finished, save.left_out)
            )
            return self.sent

    def answer(self, number: int, *, at_once: bool = False) -> bool | None:
        """Return whether the worker says stop to what it was told under this number; None where it has
        not answered, ``at_once`` or in time.
        """
        while self.pipe.poll(0.0 if at_once else REPLY_S):
            match self._hear():
                case Reply(to, stop) if stop or to == number:
                    return stop
        return None

    def called(self) -> bool:
        """Return whether the worker wants to hear before a save is due; a stop that comes late is
        said again when it does.
        """
        words = []
        while self.pipe.poll():
            words.append(self._hear())
        return any(not isinstance(word, Reply) or word.stop for word in words)

    def _hear(self) -> Word:
        word: Word = self.pipe.recv()
        return word
