"""A sampler for Optuna that proposes what the posterior of all runs expects most of."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.search_space import IntersectionSearchSpace
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from search.posterior.belief import Believer, Run
from search.posterior.ground import FlatGround, Ground, Params, Tried
from search.posterior.proposal import Proposal, propose

STARTUP = 6  # trials before the model proposes
ENDED = (TrialState.COMPLETE, TrialState.PRUNED)


class ModelSampler(BaseSampler):
    """Proposes configs by a Gaussian process over all runs, early ones carried to their end.

    With a ``ground`` its conditions hold for all that is proposed. Without one, what the trials of a
    study have in common is searched, and the first that is complete is the control. The first
    ``startup`` trials, and parameters that not all trials have, are drawn at random. A trial's
    intermediate values are taken for the scores of its epochs. It needs one objective.

    Running trials without a report count as scored as they are expected to: what is near them is
    known already. Source: Ginsbourger et al. 2010 (Kriging Is Well-Suited to Parallelize
    Optimization), section 3.2, the believer.
    """

    def __init__(
        self, *, seed: int | None = None, startup: int = STARTUP, ground: Ground | None = None
    ) -> None:
        self.startup = startup
        self.ground = ground
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
        trials = study.get_trials(deepcopy=False)
        ended = [each for each in trials if each.state in ENDED and scores_of(study, each).size]
        if len(ended) < max(1, self.startup) or trial.system_attrs.get("fixed_params"):
            return {}
        common = common or {}
        ground = ground or FlatGround(common, _first_complete(ended).params)
        running = [
            each
            for each in trials
            if each.state == TrialState.RUNNING
            and each.number != trial.number
            and each.params
            and set(common) <= set(each.params)
        ]
        infeasible = [ground.tried(each.params) for each in trials if is_infeasible(each)]
        believer, tried = known(ground, study, ended, running)
        self.proposal = propose(ground, believer, tried, self._dice, infeasible)
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


def known(
    ground: Ground, study: Study, ended: Sequence[FrozenTrial], running: Sequence[FrozenTrial]
) -> tuple[Believer, list[Tried]]:
    """Return what is known by a study's trials, and their configs."""
    tried = [ground.tried(each.params) for each in ended]
    runs = [
        Run(config.values, scores_of(study, each))
        for config, each in zip(tried, ended, strict=True)
    ]
    epochs = max(len(run.scores_E) for run in runs)
    believer = Believer(ground.coordinates, runs, epochs)
    pending = [ground.tried(each.params) for each in running]
    if pending:
        believer = believer.believing([each.values for each in pending])
    return believer, [*tried, *pending]


def is_infeasible(trial: FrozenTrial) -> bool:
    """Return whether a trial has ended because its config breaks a constraint."""
    return trial.state in ENDED and any(value > 0 for value in trial.constraints.values())


def scores_of(study: Study, trial: FrozenTrial) -> np.ndarray:
    """Return a trial's scores by epoch, of which more is better; of one that reports none its value.
    None that is not finite counts.
    """
    reported = [value for _, value in sorted(trial.intermediate_values.items())]
    values = np.array(reported or ([] if trial.value is None else [trial.value]), float)
    sign = 1.0 if study.direction == StudyDirection.MAXIMIZE else -1.0
    return np.asarray(sign * values[np.isfinite(values)])


def _first_complete(ended: Sequence[FrozenTrial]) -> FrozenTrial:
    return next((each for each in ended if each.state == TrialState.COMPLETE), ended[0])
