"""Searches in virtual time: the real code of samplers and pruners, with trainings that a world of recorded runs makes."""

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import optuna
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from optuna.trial import Trial, TrialState

from objectives.data.options import DataOptions
from search.posterior.draws import FromTrial
from search.posterior.ground import SpaceGround
from search.study.pruners import judging
from search.study.sampling import build_sampler, first_trials
from search.study.spec import StudySpec
from search_bench.parts import GROUND
from search_bench.surrogate import Floats, Surrogate, point_of
from spaces import Space
from spaces.pruning import Pruning
from spaces.sampler import Sampler
from spaces.values import Scalar, Value

WITH_STEPS = " + steps"  # at the end of the name of a search that begins with them


@dataclass
class Trained:
    """A trial as far as it has come: its values, its scores, when each was known, and its end."""

    params: dict[str, object]
    values: dict[str, Value]
    scores: list[float] = field(default_factory=list)
    known_at: list[float] = field(default_factory=list)  # in trainings that all workers have spent
    state: TrialState = TrialState.RUNNING

    def by(self, spent: float, epochs: int) -> tuple[Floats, bool]:
        """Return its scores that were known by then, and whether it had come to its end."""
        scores_E = np.array(
            [s for s, at in zip(self.scores, self.known_at, strict=True) if at <= spent + 1e-9]
        )
        return scores_E, len(scores_E) == epochs


@dataclass(frozen=True)
class Terms:
    """What a study knows from the beginning: its budget in trainings, the epochs of one, and how many
    workers train at once.
    """

    seed: int
    budget: int
    epochs: int
    workers: int


class Search(Protocol):
    """A study as its method sees it: it is asked for trials, and told each epoch of them."""

    def ask(self) -> tuple[int, Mapping[str, object]]:
        """Return the number and parameters of the trial that a free worker is to train: the next number
        for a new one, that of a paused one to go on with it. The first is the control.
        """

    def report(self, number: int, scores: Sequence[float]) -> TrialState:
        """Take a trial's scores as far as they are known, and return how it stands: running, waiting for
        more (paused), pruned, or complete after all epochs. The control is never pruned nor paused.
        """

    def close(self) -> None:
        """End it."""


class Method(Protocol):
    """A way to search."""

    @property
    def name(self) -> str:
        """What it is called in tables."""

    def begin(self, terms: Terms) -> Search:
        """Return a new study."""


@dataclass(frozen=True)
class OptunaMethod:
    """A way to search by Optuna's classes: what draws trial ``number`` of a study, what ends trials early, and what it
    begins with beside the control.
    """

    name: str
    sampler: Callable[[int, int], BaseSampler]  # of a seed and a trial's number
    pruner: Callable[[], BasePruner] = NopPruner
    first: Callable[[int], Sequence[dict[str, object]]] = lambda seed: ()
    each: bool = False  # a sampler of its own for each trial, as the service has

    def begin(self, terms: Terms) -> Search:
        """Return a new study."""
        return OptunaSearch(self, terms.seed, terms.epochs)


class OptunaSearch:
    """A study of Optuna's."""

    def __init__(self, method: OptunaMethod, seed: int, epochs: int) -> None:
        self._method, self._seed, self._epochs = method, seed, epochs
        self._control = dict(GROUND.control)
        self._study = optuna.create_study(
            study_name=f"virtual {seed}",  # Hyperband deals its brackets by the name
            direction="maximize",
            sampler=method.sampler(seed, 0),
            pruner=method.pruner(),
        )
        for params in (self._control, *method.first(seed)):
            self._study.enqueue_trial(params)
        self._trials: list[Trial] = []

    def ask(self) -> tuple[int, Mapping[str, object]]:
        """Return a new trial."""
        if self._method.each:
            self._study.sampler = self._method.sampler(self._seed, len(self._trials))
        trial = self._study.ask()
        GROUND.space.draw(FromTrial(trial))
        self._trials.append(trial)
        return trial.number, trial.params

    def report(self, number: int, scores: Sequence[float]) -> TrialState:
        """Report the last score, and end the trial where it is over."""
        trial = self._trials[number]
        trial.report(scores[-1], len(scores))
        if len(scores) == self._epochs:
            self._study.tell(trial, max(scores))
            return TrialState.COMPLETE
        if trial.params != self._control and trial.should_prune():
            self._study.tell(trial, state=TrialState.PRUNED)
            return TrialState.PRUNED
        return TrialState.RUNNING

    def close(self) -> None:
        """Leave it: it is in memory alone."""


def ours(
    name: str,
    sampler: Sampler,
    pruning: Pruning,
    trials: int,
    steps: Sequence[Mapping[str, Scalar]] = (),
) -> OptunaMethod:
    """Return a search of the service: its samplers, first trials and rungs."""
    space = Space(
        GROUND.space.domains, GROUND.space.control, pruning, sampler=sampler, steps=tuple(steps)
    )
    ground = SpaceGround(space)

    def spec(seed: int) -> StudySpec:
        return StudySpec(
            name="virtual",
            source="",
            frames=DataOptions(seed=seed),
            score="",
            data_fingerprint="",
            space=space.to_dict(),
            space_fingerprint=space.fingerprint,
            trials=trials,
            until_s=0.0,
        )

    return OptunaMethod(
        name,
        lambda seed, number: build_sampler(spec(seed), ground, number),
        lambda: judging(space).pruner,
        lambda seed: [dict(each.params) for each in first_trials(spec(seed))[1:]],
        each=True,
    )


def peers(steps: Sequence[Mapping[str, Scalar]]) -> Iterator[OptunaMethod]:
    """Yield searches of Optuna's own, as their documentation has them; of one also what it makes of the steps that a
    space of the service may have.
    """
    yield OptunaMethod("random", lambda seed, number: RandomSampler(seed))
    yield OptunaMethod(
        "optuna TPE + median", lambda seed, number: TPESampler(seed=seed), MedianPruner
    )
    yield OptunaMethod(
        f"optuna TPE + median{WITH_STEPS}",
        lambda seed, number: TPESampler(seed=seed),
        MedianPruner,
        lambda seed: [dict(step) for step in steps],
    )
    yield OptunaMethod(
        "optuna TPE + Hyperband",
        lambda seed, number: TPESampler(seed=seed),
        lambda: HyperbandPruner(max_resource=GROUND.epochs),
    )
    yield OptunaMethod(
        "optuna GP", lambda seed, number: GPSampler(seed=seed, deterministic_objective=False)
    )


def play(
    method: Method, world: Surrogate, *, workers: int, budget: int, seed: int
) -> list[Trained]:
    """Return the trials of a study in which so many workers together spend the budget, in trainings. A
    paused trial goes on where it was.
    """
    trained: list[Trained] = []
    curves: list[Floats] = []  # of each trial all scores, known and to come
    spent, epoch_costs = 0.0, 1 / world.epochs
    # when each worker's next epoch is over, whose it is, and the trial's number; -1 where it has none
    events = [(0.0, worker, -1) for worker in range(workers)]
    terms = Terms(seed, budget, world.epochs, workers)
    with closing(method.begin(terms)) as search:
        while events:
            now, worker, number = heapq.heappop(events)
            if number >= 0:
                spent += epoch_costs
                this = trained[number]
                this.scores.append(float(curves[number][len(this.scores)]))
                this.known_at.append(spent)
                this.state = search.report(number, this.scores)
                if this.state is not TrialState.RUNNING:
                    number = -1
            if spent >= budget - 1e-9:
                break
            if number < 0:
                number, params = search.ask()
                if number == len(trained):
                    tried = GROUND.tried(params)
                    trained.append(Trained(dict(params), dict(tried.values)))
                    dice = np.random.default_rng((seed, number))
                    curves.append(world.run(point_of(dict(tried.values)), dice))
                elif trained[number].state is not TrialState.WAITING:
                    raise AssertionError(
                        f"{method.name} asks for trial {number}, which is not paused"
                    )
                trained[number].state = TrialState.RUNNING
            heapq.heappush(events, (now + epoch_costs, worker, number))
    return trained
