"""One epoch for each of many configs, the whole training for the best of them."""

import random
from collections.abc import Mapping, Sequence

from optuna.trial import TrialState

from search.posterior.belief import Learned
from search_bench.parts import GROUND
from search_bench.virtual import Offer, Search, Terms

BEST = 3  # configs that are trained whole at least; more, so that all workers have as many


class OneEpoch:
    """Configs at random, each trained for one epoch, as many as the budget holds beside the whole trainings of
    the control and of the best: what it has is there at the end of the budget alone.

    Source: Egele et al. 2023 (arXiv 2307.15422), 1-Epoch.
    """

    name = "one-epoch"

    def begin(self, terms: Terms) -> Search:
        """Return a new study."""
        return OneEpochSearch(terms)

    def learned(self, seed: int) -> Sequence[Learned]:
        """Return nothing: a study of it knows its own runs alone."""
        return ()


class OneEpochSearch:
    """A study of one epoch for each, then of the best."""

    def __init__(self, terms: Terms) -> None:
        self._epochs = terms.epochs
        self._dice = random.Random(terms.seed)
        whole = -(-BEST // terms.workers) * terms.workers
        self._looks = (terms.budget - 1) * terms.epochs - whole * (terms.epochs - 1)
        self._params: list[Mapping[str, object]] = []
        self._waiting: dict[int, float] = {}  # the score of each

    def ask(self, offer: Offer) -> tuple[int, Mapping[str, object]]:
        """Return the control, then a config at random, then the best that waits; one more at random where none
        does.
        """
        number = len(self._params)
        if number > self._looks and self._waiting:
            best = max(self._waiting, key=self._waiting.__getitem__)
            del self._waiting[best]
            return best, self._params[best]
        params = offer(GROUND.drawn(self._dice, None).params if number else GROUND.control)
        self._params.append(params)
        return number, params

    def report(self, number: int, scores: Sequence[float]) -> TrialState:
        """Let a trial wait after its first epoch."""
        if len(scores) == self._epochs:
            return TrialState.COMPLETE
        if number and len(scores) == 1:
            self._waiting[number] = scores[0]
            return TrialState.WAITING
        return TrialState.RUNNING

    def close(self) -> None:
        """Leave it: it is in memory alone."""
