"""Which parameters decided whether a trial was among the best: PED-ANOVA over the
complete trials.
"""

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import create_trial

from objectives.statistics.interval import Unknown
from search.report.reading import StudyRecord

LEAST_TRIALS = 10
TOP_SHARE = 0.1  # that count as the best
TOP_TRIALS = 5  # but at least so many: fewer say nothing of where they lie


@dataclass(frozen=True)
class Importances:
    """The share of each parameter, the largest first; they add up to 1."""

    shares: Mapping[str, float]
    top: int  # trials that counted as the best
    trials: int  # complete ones


def importances(study: StudyRecord) -> Importances | Unknown:
    """Return how much each parameter tells the best complete trials from the others, or why that
    cannot be said.

    Source: Watanabe et al. 2023, PED-ANOVA (arXiv:2304.10255), within the region that the search
    has tried.
    """
    complete = study.of("complete")
    if len(complete) < LEAST_TRIALS:
        return Unknown(
            f"too few complete trials ({len(complete)}): importances need at least {LEAST_TRIALS}"
        )
    quantile = max(TOP_SHARE, TOP_TRIALS / len(complete))
    shares = _evaluate(study, quantile)
    total = sum(shares.values())
    if not total > 0:
        return Unknown("no parameter tells the best trials from the others")
    ranked = sorted(shares.items(), key=lambda each: (-each[1], each[0]))
    return Importances(
        {name: value / total for name, value in ranked},
        math.ceil(quantile * len(complete)),
        len(complete),
    )


def _evaluate(study: StudyRecord, quantile: float) -> dict[str, float]:
    """Optuna's evaluator on a copy in memory, so that the database is not asked again."""
    copy = optuna.create_study(direction="maximize")
    for trial in study.of("complete"):
        drawn = dict(trial.params)
        kinds = dict(trial.distributions)
        copy.add_trial(create_trial(params=drawn, distributions=kinds, value=trial.score))
    # rare branches of a space: said in the report's own words
    with warnings.catch_warnings(action="ignore"):
        shares = get_param_importances(
            copy, evaluator=PedAnovaImportanceEvaluator(target_quantile=quantile), normalize=False
        )
    return dict(shares)
