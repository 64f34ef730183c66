"""A peer for the tests: configs at random, each left after three epochs; the even ones, the control too, are gone on
with when three of them wait, the odd ones are pruned.
"""

import random
import sys
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1] / "search_bench" / "peers"))
from serving import PRUNED, RUNNING, WAITING, serve


class RandomPeer:
    def __init__(self, terms: dict[str, Any]) -> None:
        if terms["method"] == "broken":
            raise ValueError("a peer that cannot be driven")
        print("what a library prints is no answer")
        self._dice = random.Random(terms["seed"])
        self._epochs = terms["epochs"]
        self._fields, self._control = terms["fields"], terms["control"]
        self._params: list[dict[str, Any]] = []
        self._waiting: list[int] = []

    def ask(self) -> tuple[int, dict[str, Any]]:
        if len(self._waiting) == 3:
            number = self._waiting.pop(0)
        else:
            number = len(self._params)
            self._params.append(self._drawn() if number else self._control)
        return number, self._params[number]

    def report(self, number: int, scores: list[float]) -> str:
        if len(scores) % 3 or len(scores) == self._epochs:
            return RUNNING
        if number % 2:
            return PRUNED
        self._waiting.append(number)
        return WAITING

    def _drawn(self) -> dict[str, Any]:
        return {field["name"]: self._value(field) for field in self._fields}

    def _value(self, field: dict[str, Any]) -> Any:
        if field["kind"] == "choice":
            return self._dice.choice(field["options"])
        if field["kind"] == "int":
            return self._dice.randint(field["low"], field["high"])
        return self._dice.uniform(field["low"], field["high"])


if __name__ == "__main__":
    serve(RandomPeer)
