"""How a study draws and prunes its trials: the first ones, the sampler, the rungs."""

import random
import warnings
from typing import Any

from optuna.exceptions import ExperimentalWarning
from optuna.pruners import SuccessiveHalvingPruner
from optuna.samplers import TPESampler

from search.spec import StudySpec, stable_seed
from spaces import Space

CONTROL = 0  # the trial number of the default config, which is never pruned
NEIGHBOUR_KEEPS = 0.7  # share of the control's parameters that a neighbour keeps

warnings.filterwarnings("ignore", category=ExperimentalWarning)  # TPE's multivariate and group, which are what we want


def first_trials(spec: StudySpec) -> list[tuple[dict[str, Any], dict[str, str]]]:
    """Parameters and attributes of the trials that a study begins with: the control, then neighbours of it.

    A neighbour keeps most of the control's parameters; the sampler draws the rest at random. A good control is knowledge,
    and a small budget has no trials to spare for draws from the whole space. They are part of the sampler's start-up.
    Source: the expert prior of PriorBand (Mallik et al., NeurIPS 2023), reduced to its first draws.
    """
    control = dict(Space.from_dict(spec.space).control)
    neighbours = min(startup_trials(spec) - 1, (spec.trials - 1) // 3)
    found: list[tuple[dict[str, Any], dict[str, str]]] = [(control, {"recipe": "control"})]
    for number in range(1, neighbours + 1):
        dice = random.Random(stable_seed(spec.seed, "neighbour", number))
        kept = {name: value for name, value in control.items() if dice.random() < NEIGHBOUR_KEEPS}
        found.append((kept, {"recipe": "neighbour of the control"}))
    return found


def startup_trials(spec: StudySpec) -> int:
    """How many trials the sampler looks at before it learns from them."""
    return min(10, max(4, spec.trials // 4))


def build_sampler(spec: StudySpec, number: int) -> TPESampler:
    """The sampler of one trial, seeded by its number, so that a draw depends on the study's history alone."""
    startup = startup_trials(spec)
    seed = stable_seed(spec.seed, "sampler", number)
    return TPESampler(n_startup_trials=startup, multivariate=True, group=True, constant_liar=True, seed=seed)


def build_pruner(spec: StudySpec) -> SuccessiveHalvingPruner:
    """One bracket of successive halving with a warm-up; its first rung is the warm-up's last epoch."""
    return SuccessiveHalvingPruner(min_resource=rungs(study_epochs(spec))[0], reduction_factor=3, bootstrap_count=0)


def rungs(epochs: int) -> tuple[int, ...]:
    """The epochs after which a trial may be pruned."""
    first = max(2, epochs // 9)
    return tuple(first * 3**i for i in range(20) if first * 3**i < epochs) or (first,)


def study_epochs(spec: StudySpec) -> int:
    """Epochs of every trial of the study."""
    return Space.from_dict(spec.space).default().train.epochs
