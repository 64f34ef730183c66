"""Searches in virtual time: the real code of samplers and pruners, with trainings that a world of recorded runs makes."""

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt
import optuna
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from optuna.trial import Trial, TrialState

from objectives.data.options import DataOptions
from search.posterior.belief import Learned
from search.posterior.draws import FromTrial
from search.posterior.ground import SpaceGround
from search.study.learned import Lessons
from search.study.pruners import judging
from search.study.sampling import build_sampler, first_trials, learned_on
from search.study.spec import StudySpec
from search_bench.parts import GROUND
from spaces import Space
from spaces.pruning import Pruning
from spaces.sampler import Sampler
from spaces.values import Scalar, Value

Floats = npt.NDArray[np.float64]
WITH_STEPS = " + steps"  # at the end of the name of a search that begins with them


@dataclass
class Trained:
    """A trial as far as it has come: its values, its scores, when each was known, and its end."""

    params: dict[str, object]
    values: dict[str, Value]
    scores: list[float] = field(default_factory=list)
    known_at: list[float] = field(default_factory=list)  # in trainings that all workers have spent
    cost: float = 1.0  # of its whole training, in those
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


Offer = Callable[[Mapping[str, object]], Mapping[str, object]]  # what is trained for a proposal


def as_proposed(params: Mapping[str, object]) -> Mapping[str, object]:
    """Return a proposal: it is trained as it is."""
    return params


class World(Protocol):
    """Where trainings come from, and what is true there."""

    name: str  # of its table
    told: int  # how many recorded runs it is made of
    epochs: int  # of a training

    @property
    def kept_as(self) -> str:
        """How the files are called that keep what was chosen in it."""

    @property
    def attainable(self) -> float:
        """What the best config that is known there gains over the control."""

    def offer(self) -> Offer:
        """Return what a new study trains for each of its proposals."""

    def cost(self, params: Mapping[str, object]) -> float:
        """Return what a whole training of a config takes from the budget; 1 for the control."""

    def run(self, values: Mapping[str, Value], seed: int, number: int) -> Floats:
        """Return the scores (E,) of a study's trial."""

    def gain(self, values: Mapping[str, Value], seed: int, number: int) -> float:
        """Return what a config truly gains over the control, of which that trial has been seen."""


class Search(Protocol):
    """A study as its method sees it: it is asked for trials, and told each epoch of them."""

    def ask(self, offer: Offer) -> tuple[int, Mapping[str, object]]:
        """Return the number and parameters of the trial that a free worker is to train: the next number
        for a new one, as it is offered; that of a paused one to go on with it. The first is the control.
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

    def learned(self, seed: int) -> Sequence[Learned]:
        """Return what a study has learned from others before its first trial."""


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
    lessons: Callable[[int], Lessons] = lambda seed: Lessons()

    def begin(self, terms: Terms) -> Search:
        """Return a new study."""
        return OptunaSearch(self, terms.seed, terms.epochs)

    def learned(self, seed: int) -> Sequence[Learned]:
        """Return what a study has learned from others."""
        return learned_on(GROUND, self.lessons(seed))


class OptunaSearch:
    """A study of Optuna's."""

    def __init__(self, method: OptunaMethod, seed: int, epochs: int) -> None:
        self._method, self._seed, self._epochs = method, seed, epochs
        self._control = dict(GROUND.control)
        self._sampler = method.sampler(seed, 0)
        self._pruner = method.pruner()
        self._study = self._named()
        self._first = [self._control, *method.first(seed)]
        self._trials: list[Trial] = []

    def ask(self, offer: Offer) -> tuple[int, Mapping[str, object]]:
        """Return a new trial. Where the proposal of one is not what is trained, a copy of the study is asked for it, so
        that the study itself knows what was.
        """
        if self._method.each:
            self._sampler = self._method.sampler(self._seed, len(self._trials))
        trial = self._proposed(self._study if offer is as_proposed else self._copied())
        if offer is not as_proposed:
            self._study.enqueue_trial(dict(offer(trial.params)))
            trial = _drawn(self._study)
        self._trials.append(trial)
        return trial.number, trial.params

    def _proposed(self, study: optuna.Study) -> Trial:
        study.sampler = self._sampler
        if self._first:
            study.enqueue_trial(self._first.pop(0))
        return _drawn(study)

    def _copied(self) -> optuna.Study:
        copied = self._named()
        copied.add_trials(self._study.get_trials(deepcopy=False))
        return copied

    def _named(self) -> optuna.Study:
        """Return an empty study; Hyperband deals its brackets by the name."""
        return optuna.create_study(
            study_name=f"virtual {self._seed}",
            direction="maximize",
            sampler=RandomSampler(),
            pruner=self._pruner,
        )

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


def _drawn(study: optuna.Study) -> Trial:
    trial = study.ask()
    GROUND.space.draw(FromTrial(trial))
    return trial


def ours(
    name: str,
    sampler: Sampler,
    pruning: Pruning,
    trials: int,
    steps: Sequence[Mapping[str, Scalar]] = (),
    lessons: Callable[[int], Lessons] = lambda seed: Lessons(),
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
            lessons=lessons(seed),
        )

    return OptunaMethod(
        name,
        lambda seed, number: build_sampler(spec(seed), ground, number),
        lambda: judging(space).pruner,
        lambda seed: [dict(each.params) for each in first_trials(spec(seed))[1:]],
        each=True,
        lessons=lessons,
    )


def peers(steps: Sequence[Mapping[str, Scalar]]) -> Iterator[OptunaMethod]:
    """Yield searches of Optuna's own, as their documentation has them; of one also what it makes of the steps that a
    space of the service may have.
    """
    yield OptunaMethod("random", lambda seed, number: RandomSampler(seed))
    yield OptunaMethod("optuna TPE", lambda seed, number: TPESampler(seed=seed))
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


def play(method: Method, world: World, *, workers: int, budget: int, seed: int) -> list[Trained]:
    """Return the trials of a study in which so many workers together spend the budget, in trainings. A
    paused trial goes on where it was.
    """
    trained: list[Trained] = []
    curves: list[Floats] = []  # of each trial all scores, known and to come
    spent = 0.0
    # when each worker's next epoch is over, whose it is, and the trial's number; -1 where it has none
    events = [(0.0, worker, -1) for worker in range(workers)]
    terms = Terms(seed, budget, world.epochs, workers)
    offer = world.offer()
    with closing(method.begin(terms)) as search:
        while events:
            now, worker, number = heapq.heappop(events)
            if number >= 0:
                this = trained[number]
                spent += this.cost / world.epochs
                this.scores.append(float(curves[number][len(this.scores)]))
                this.known_at.append(spent)
                this.state = search.report(number, this.scores)
                if this.state is not TrialState.RUNNING:
                    number = -1
            if spent >= budget - 1e-9:
                break
            if number < 0:
                number, params = search.ask(offer)
                if number == len(trained):
                    tried = GROUND.tried(params)
                    trained.append(
                        Trained(dict(params), dict(tried.values), cost=world.cost(params))
                    )
                    curves.append(world.run(tried.values, seed, number))
                elif trained[number].state is not TrialState.WAITING:
                    raise AssertionError(
                        f"{method.name} asks for trial {number}, which is not paused"
                    )
                trained[number].state = TrialState.RUNNING
            over = now + trained[number].cost / world.epochs
            heapq.heappush(events, (over, worker, number))
    return trained
