"""A study of a peer's behind a pipe: a line of JSON in, a line out. It needs nothing but Python, and knows nothing
of the product.

The first line says what is to be searched: ``method``, ``seed``, ``epochs`` of a whole training, ``budget`` in
trainings, ``fields`` and the ``control``'s parameters. A field has ``name``, ``kind`` (float, int or choice), its
``low``, ``high`` and ``log`` or its ``options``, and ``when``: pairs of a choice and its option of which one must
hold for it to be read; none: always. Then ``{"ask": true}`` gives a trial's ``number`` and ``params``, a new one or
one to go on with, and ``{"number": ..., "score": ...}`` tells its next epoch and gives its ``state``.
"""

import json
import os
import sys
from collections.abc import Callable
from typing import Any, Protocol

RUNNING, WAITING, PRUNED, COMPLETE = "running", "waiting", "pruned", "complete"


class Peer(Protocol):
    """What a server has of a peer: its own classes, asked and told."""

    def ask(self) -> tuple[int, dict[str, Any]]:
        """Return the number and parameters of the trial to train or to go on with; the control first."""

    def report(self, number: int, scores: list[float]) -> str:
        """Take a trial's scores so far, and return how it stands."""


class Study:
    """A study of a peer's in which the control is trained whole, whatever the peer says: what the peer has not
    asked for yet is kept until it does.
    """

    def __init__(self, peer: Peer, terms: dict[str, Any]) -> None:
        self._peer, self._epochs = peer, terms["epochs"]
        self._fields = {field["name"]: field for field in terms["fields"]}
        self._scores: dict[int, list[float]] = {}
        self._told, self._is_wanted = 0, True  # of the control

    def ask(self) -> dict[str, Any]:
        """Return the trial that a worker is to train."""
        while True:
            number, params = self._peer.ask()
            if number or number not in self._scores:
                self._scores.setdefault(number, [])
                return {"number": number, "params": self._plain(params)}
            self._is_wanted = True
            self._tell_control()

    def report(self, number: int, score: float) -> dict[str, Any]:
        """Take a trial's next score, and return how it stands."""
        scores = self._scores[number]
        scores.append(score)
        state = self._peer.report(number, scores) if number else self._tell_control()
        return {"state": COMPLETE if len(scores) == self._epochs else state}

    def _tell_control(self) -> str:
        scores = self._scores[0]
        while self._is_wanted and self._told < len(scores):
            self._told += 1
            self._is_wanted = self._peer.report(0, scores[: self._told]) == RUNNING
        return RUNNING

    def _plain(self, params: dict[str, Any]) -> dict[str, Any]:
        """Return parameters without types of numpy's, within their ranges."""
        return {name: _plain(self._fields[name], value) for name, value in params.items()}


def _plain(field: dict[str, Any], value: Any) -> Any:
    if field["kind"] == "choice":
        return field["options"][field["options"].index(value)]
    value = int(value) if field["kind"] == "int" else float(value)
    return min(max(value, field["low"]), field["high"])


def serve(begin: Callable[[dict[str, Any]], Peer]) -> None:
    """Answer until the pipe is closed; what a peer prints goes to the errors."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    terms = json.loads(sys.stdin.readline())
    study = Study(begin(terms), terms)
    for line in sys.stdin:
        message = json.loads(line)
        answer = study.ask() if "ask" in message else study.report(**message)
        print(json.dumps(answer), file=answers, flush=True)
