"""A sampler for Optuna that proposes what the posterior of all runs expects most of."""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.search_space import IntersectionSearchSpace
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from objectives.errors import ProblemsError
from search.posterior.belief import Believer, Learned, Run
from search.posterior.carried import Carried, carry
from search.posterior.ground import FlatGround, Ground, Params, Tried
from search.posterior.proposal import Proposal, propose

STARTUP = 6  # trials before the model proposes
USUAL_SPREAD = 0.03  # of the scores of a study
ENDED = (TrialState.COMPLETE, TrialState.PRUNED)


class ModelSampler(BaseSampler):
    """Proposes configs by a Gaussian process over all runs, early ones carried to their end.

    With a ``ground`` its conditions hold for all that is proposed. Without one, what the trials of a
    study have in common is searched, and the first that is complete is the control. The first
    ``startup`` trials, and parameters that not all trials have, are drawn at random; runs of other
    studies that are ``learned`` from, which need a ground, count among those. A trial's
    intermediate values are taken for the scores of its epochs, as far as they are finite; a complete
    trial has them all. Trials that break a constraint, and failed ones, teach where not to go. It
    needs one objective.

    Running trials without a report count as scored as they are expected to: what is near them is
    known already. Source: Ginsbourger et al. 2010 (Kriging Is Well-Suited to Parallelize
    Optimization), section 3.2, the believer.
    """

    def __init__(
        self,
        *,
        seed: int | None = None,
        startup: int = STARTUP,
        ground: Ground | None = None,
        learned: Sequence[Learned] = (),
    ) -> None:
        self.startup = startup
        self.ground = ground
        self.learned = learned
        self._dice = random.Random(seed)
        self._others = RandomSampler(seed)
        self._common = IntersectionSearchSpace()
        self.proposal: Proposal | None = None  # the last one
        self._proposed: dict[int, Params] = {}  # by trial, where a ground knows their names first

    def reseed_rng(self) -> None:
        """Take another seed: each process of several needs its own."""
        self._dice.seed()
        self._others.reseed_rng()

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return what is proposed together: the fields of a config of the ground, or what the ended
        trials have in common.
        """
        if self.ground:
            params = self._proposal(study, trial, self.ground)
            self._proposed[trial._trial_id] = params
            return self.ground.distributions(params)
        common = self._common.calculate(study)
        return {name: each for name, each in sorted(common.items()) if not each.single()}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return a proposal; nothing as long as there are too few trials.

        Raises:
            ValueError: The study has several objectives.
        """
        self._raise_error_if_multi_objective(study)
        if self.ground:
            return dict(self._proposed.pop(trial._trial_id, {}))
        return dict(self._proposal(study, trial, None, search_space)) if search_space else {}

    def _proposal(
        self,
        study: Study,
        trial: FrozenTrial,
        ground: Ground | None,
        common: Mapping[str, BaseDistribution] | None = None,
    ) -> Params:
        """Return the parameters of a proposal; none as long as there are too few trials, and for a
        trial that was enqueued with some.
        """
        self._raise_error_if_multi_objective(study)
        if trial.system_attrs.get("fixed_params"):
            return {}
        others = [each for each in study.get_trials(deepcopy=False) if each.number != trial.number]
        sound = [each for each in others if each.state in ENDED and not is_infeasible(each)]
        ended = [each for each in sound if each.params and scores_of(study, each).size]
        learned = sum(len(each.runs) for each in self.learned)
        if len(ended) + learned < max(1, self.startup):
            return {}
        ground = ground or FlatGround(common or {}, _first_complete(ended).params)
        known = Known(ground, study, others, self.learned)
        if not known.tried and not learned:
            return {}
        elsewhere = [tried for each in self.learned for tried in each.tried]
        self.proposal = propose(
            ground, known.believer(), known.tried, self._dice, known.infeasible, elsewhere
        )
        return self.proposal.params

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Return a value at random, of a parameter that not all trials have.

        Raises:
            ValueError: The study has several objectives.
        """
        self._raise_error_if_multi_objective(study)
        return self._others.sample_independent(study, trial, param_name, param_distribution)


class Known:
    """What the trials of a study say: runs, configs that were tried or are, and those that could not
    be trained. Trials whose parameters are none of the ground's, or not there yet, say nothing.
    """

    def __init__(
        self,
        ground: Ground,
        study: Study,
        trials: Iterable[FrozenTrial],
        learned: Sequence[Learned] = (),
    ) -> None:
        self.ground = ground
        self.learned = learned  # from other studies
        self.runs: list[Run] = []
        self.sources: list[FrozenTrial] = []  # of the runs,
        self.configs: list[Tried] = []  # and their configs
        self.tried: list[Tried] = []
        self.infeasible: list[Tried] = []
        self.pending: list[Tried] = []
        for trial in trials:
            if trial.state == TrialState.WAITING or (tried := _tried(ground, trial)) is None:
                continue
            if is_infeasible(trial):
                self.infeasible.append(tried)
                continue
            scores = scores_of(study, trial)
            if scores.size:
                whole = trial.state == TrialState.COMPLETE
                self.runs.append(Run(tried.values, scores, whole))
                self.sources.append(trial)
                self.configs.append(tried)
            elif trial.state == TrialState.RUNNING:
                self.pending.append(tried)
            else:
                continue
            self.tried.append(tried)

    def from_runs(self, told: Sequence[int] | None = None) -> Believer:
        """Return what is believed of configs by the runs alone, or by those at these places, and by
        what is learned from other studies; needs a run.
        """
        runs = self._runs if told is None else [self._runs[place] for place in told]
        return Believer(self.ground.coordinates, runs, self._epochs, self.learned)

    @property
    def carried(self) -> Carried:
        """The runs carried to their end."""
        scores = [run.scores_E for run in self._runs]
        return carry(scores, [run.whole for run in self._runs], self._epochs)

    @cached_property
    def _runs(self) -> list[Run]:
        """The runs in the unit in which scores of segmentation differ."""
        flat = isinstance(self.ground, FlatGround)
        return as_fractions(self.runs) if flat and self.runs else self.runs

    @property
    def _epochs(self) -> int:
        longest = max((len(run.scores_E) for run in self.runs), default=0)
        return max(self.ground.epochs, longest)

    def believer(self) -> Believer:
        """Return what is believed of configs with those that are tried now; needs a run."""
        found = self.from_runs()
        if self.pending:
            return found.believing([each.values for each in self.pending])
        return found


def as_fractions(runs: Sequence[Run]) -> list[Run]:
    """Return runs in the unit in which scores of segmentation differ: what a study of Optuna's
    scores may be of any size.
    """
    ends = np.array([run.scores_E[-1] for run in runs])
    low, high = np.quantile(ends, [0.16, 0.84])
    spread = float(high - low) / 2 or float(ends.std()) or 1.0
    middle = float(np.median(ends))
    return [
        replace(run, scores_E=(run.scores_E - middle) * (USUAL_SPREAD / spread)) for run in runs
    ]


def _tried(ground: Ground, trial: FrozenTrial) -> Tried | None:
    if not trial.params and isinstance(ground, FlatGround):
        return None
    try:
        return ground.tried(trial.params)
    except ProblemsError:
        return None


def is_infeasible(trial: FrozenTrial) -> bool:
    """Return whether a trial has ended because its config breaks a constraint, or failed."""
    broken = any(value > 0 for value in trial.constraints.values())
    return trial.state == TrialState.FAIL or (trial.state in ENDED and broken)


def scores_of(study: Study, trial: FrozenTrial) -> np.ndarray:
    """Return a trial's scores by epoch, of which more is better; of one that reports none its value.
    One that is not finite is taken to be the one before, and nothing at the beginning.
    """
    reported = [value for _, value in sorted(trial.intermediate_values.items())]
    values = np.array(reported or ([] if trial.value is None else [trial.value]), float)
    sign = 1.0 if study.direction == StudyDirection.MAXIMIZE else -1.0
    finite = np.isfinite(values)
    newest = np.maximum.accumulate(np.where(finite, np.arange(len(values)), -1))
    return np.asarray(sign * values[newest[newest >= 0]])


def _first_complete(ended: Sequence[FrozenTrial]) -> FrozenTrial:
    return next((each for each in ended if each.state == TrialState.COMPLETE), ended[0])
