"""Searches in virtual time: the real code of samplers and pruners, with trainings that a surrogate makes."""

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import optuna
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from optuna.trial import Trial, TrialState

from objectives.data.options import DataOptions
from search.posterior.draws import FromTrial
from search.study.pruners import judging
from search.study.sampling import build_sampler, first_trials
from search.study.spec import StudySpec
from search_bench.parts import GROUND
from search_bench.surrogate import Floats, Surrogate, point_of
from spaces import Space
from spaces.pruning import Halving, NoPruning
from spaces.sampler import Sampler
from spaces.values import Value


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
class Method:
    """A way to search: what draws trial ``number`` of a study, what ends trials early, and what it
    begins with beside the control.
    """

    name: str
    sampler: Callable[[int, int], BaseSampler]  # of a seed and a trial's number
    pruner: Callable[[], BasePruner] = NopPruner
    first: Callable[[int], Sequence[dict[str, object]]] = lambda seed: ()
    each: bool = False  # a sampler of its own for each trial, as the service has


def ours(name: str, sampler: Sampler, pruning: Halving | NoPruning, trials: int) -> Method:
    """Return a search of the service: its samplers, first trials and rungs."""
    space = Space(GROUND.space.domains, GROUND.space.control, pruning, sampler=sampler)

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

    return Method(
        name,
        lambda seed, number: build_sampler(spec(seed), space, number),
        lambda: judging(space).pruner,
        lambda seed: [dict(each.params) for each in first_trials(spec(seed))[1:]],
        each=True,
    )


def peers() -> Iterator[Method]:
    """Yield searches of Optuna's own, as their documentation has them."""
    yield Method("random", lambda seed, number: RandomSampler(seed))
    yield Method("optuna TPE + median", lambda seed, number: TPESampler(seed=seed), MedianPruner)
    yield Method(
        "optuna TPE + Hyperband",
        lambda seed, number: TPESampler(seed=seed),
        lambda: HyperbandPruner(max_resource=GROUND.epochs),
    )
    yield Method(
        "optuna GP", lambda seed, number: GPSampler(seed=seed, deterministic_objective=False)
    )


def play(
    method: Method, world: Surrogate, *, workers: int, budget: float, seed: int
) -> list[Trained]:
    """Return the trials of a study in which so many workers together spend the budget, in trainings. The
    control is the first trial.
    """
    study = optuna.create_study(
        direction="maximize", sampler=method.sampler(seed, 0), pruner=method.pruner()
    )
    for params in (dict(GROUND.control), *method.first(seed)):
        study.enqueue_trial(params)
    control = dict(GROUND.control)  # never pruned
    trained: list[Trained] = []
    spent = 0.0
    epoch_costs = 1 / world.epochs
    # the next epoch of each worker: when it is over, whose it is, the trial, and its scores to come
    events: list[tuple[float, int, Trial | None, Floats]] = [
        (0.0, worker, None, np.zeros(0)) for worker in range(workers)
    ]
    while events:
        now, worker, trial, rest_E = heapq.heappop(events)
        if trial is not None:
            spent += epoch_costs
            this = trained[trial.number]
            this.scores.append(float(rest_E[0]))
            this.known_at.append(spent)
            rest_E = rest_E[1:]
            trial.report(this.scores[-1], len(this.scores))
            if not rest_E.size:
                this.state = TrialState.COMPLETE
                study.tell(trial, max(this.scores))
                trial = None
            elif this.params != control and trial.should_prune():
                this.state = TrialState.PRUNED
                study.tell(trial, state=TrialState.PRUNED)
                trial = None
        if spent >= budget - 1e-9:
            break
        if trial is None:
            if method.each:
                study.sampler = method.sampler(seed, len(trained))
            trial = study.ask()
            GROUND.space.draw(FromTrial(trial))
            tried = GROUND.tried(trial.params)
            trained.append(Trained(dict(trial.params), dict(tried.values)))
            dice = np.random.default_rng((seed, trial.number))
            rest_E = world.run(point_of(dict(tried.values)), dice)
        heapq.heappush(events, (now + epoch_costs, worker, trial, rest_E))
    return trained
